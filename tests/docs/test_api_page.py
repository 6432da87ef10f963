"""docs/api.md has every function of `clearctl`, what each returns, and nothing that is not there."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import clearctl

NAMES = re.findall(r"^::: ([\w.]+)$", (Path(__file__).parents[2] / "docs" / "api.md").read_text(), re.MULTILINE)


def test_every_verb_is_on_the_page():
    verbs = {f"clearctl.{name}" for name in clearctl.__all__ if name != "__version__"}
    assert verbs == {
        name for name in NAMES if name.count(".") == 1 and name.removeprefix("clearctl.") in clearctl.__all__
    }


def test_what_a_verb_returns_is_on_the_page():
    returned = [inspect.signature(getattr(clearctl, name)).return_annotation for name in clearctl.__all__[1:]]
    own = {
        kind for kind in returned if getattr(kind, "__module__", "").startswith("clearctl") and inspect.isclass(kind)
    }
    assert len(own) > 10
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in own} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_on_the_page_is_there_and_described(name):
    home, _, last = name.rpartition(".")
    module = importlib.import_module(home)
    found = getattr(module, last) if hasattr(module, last) else importlib.import_module(name)
    assert inspect.getdoc(found)
