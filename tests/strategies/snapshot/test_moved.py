"""What earlier states name is found where it is now."""

import importlib

from clearctl.strategies.snapshot.moved import _MOVED, current_name


def test_every_class_is_where_the_table_says() -> None:
    for before in _MOVED:
        module, _, kind = current_name(before).rpartition(".")
        assert getattr(importlib.import_module(module), kind).__module__ == module


def test_a_class_that_never_moved_keeps_its_name() -> None:
    assert current_name("torch.nn.modules.linear.Linear") == "torch.nn.modules.linear.Linear"
    assert current_name("clearctl.strategies.memory.AGEMPlugin") == "clearctl.strategies.methods.agem.AGEMPlugin"


def test_a_class_that_moved_and_got_another_name_is_found_by_both_names() -> None:
    now = "clearctl.strategies.watching.batch.BatchResult"
    for before in ("batch.Batch", "watching.batch.Batch", "watching.batch.BatchResult"):
        assert current_name(f"clearctl.strategies.{before}") == now
