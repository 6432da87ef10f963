"""What earlier states name is found where it is now."""

import importlib

from clearctl.strategies.snapshot.moved import _MOVED, current_name


def test_every_class_is_where_the_table_says() -> None:
    for name in _MOVED.values():
        module, _, kind = name.rpartition(".")
        assert getattr(importlib.import_module(module), kind).__module__ == module


def test_a_class_that_never_moved_keeps_its_name() -> None:
    assert current_name("torch.nn.modules.linear.Linear") == "torch.nn.modules.linear.Linear"
    assert current_name("clearctl.strategies.memory.AGEMPlugin") == "clearctl.strategies.methods.agem.AGEMPlugin"
