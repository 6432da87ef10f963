"""docs/config.md is what docs/make_config.py makes of the code, and says of defaults what is so."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import pytest

from clearctl.config import keys
from clearctl.config.check import check
from clearctl.config.keys import Key, Keys
from clearctl.config.load import dump, load
from clearctl.engine.build.catalogue import CATALOGUE

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def make_config():
    spec = importlib.util.spec_from_file_location("make_config", DOCS / "make_config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_code_says(make_config):
    text = (DOCS / "config.md").read_text()
    for name in make_config.LIBRARIES:
        version = re.search(rf"{re.escape(name)}\s([\d.]+\d)", text)[1]
        if importlib.metadata.version(name) != version:
            pytest.skip(f"the page is of {name} {version}, and here is {importlib.metadata.version(name)}")
    assert text == make_config.page(), "run `make docs`"


def test_every_class_has_a_meaning(make_config):
    page = make_config.page()
    rows = re.findall(r"^\| .* \|$", page, re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []


def test_a_page_of_other_code_is_another(make_config, monkeypatch):
    before = make_config.page()
    monkeypatch.setattr(keys, "DATA", {**keys.DATA, "workers": Key("int from 0", 4, "processes")})
    assert make_config.page() != before
    monkeypatch.undo()
    monkeypatch.setitem(CATALOGUE.buffers.classes, "FreshBuffer", make_config.Registry)
    assert "`FreshBuffer`" in make_config.page()


def test_every_default_may_be_given(tiny_config, tmp_path):
    """Written out, the defaults are a config without faults, and one that says the same."""
    values = load(tiny_config).values

    def filled(section: dict, of: Keys) -> dict:
        defaults = {name: key.default for name, key in of.items() if key.default is not None}
        return {**defaults, **section}

    values = filled(values, keys.TOP)
    values["scenario"] = filled(values["scenario"], keys.SCENARIO)
    values["model"] = filled(values["model"], keys.MODEL)
    values["cl_strategy"] = filled(values["cl_strategy"], {**keys.STRATEGY, **keys.EVERY_STRATEGY})
    values["checkpoint_config"] = filled(values.get("checkpoint_config", {}), keys.CHECKPOINTS)
    values["data"] = filled(values.get("data", {}), keys.DATA)
    file = tmp_path / "filled.py"
    file.write_text(dump(values))
    assert check(load(file), CATALOGUE) == []


def test_no_key_is_known_that_is_not_on_the_page(tiny_config):
    """What the check suggests or takes are the keys of keys.py, so that none is left out of the page."""
    text = (DOCS / "config.md").read_text()
    for section in (keys.TOP, keys.SCENARIO, keys.MODEL, keys.STRATEGY, keys.CHECKPOINTS, keys.DATA, keys.SCHEDULER):
        for name in section:
            assert f"| `{name}`" in text or f"| **`{name}`**" in text
    for path in ("scenario.no_such", "model.no_such", "checkpoint_config.no_such", "data.no_such", "no_such"):
        assert [fault.key for fault in check(load(tiny_config, [f"{path}=1"]), CATALOGUE)] == [path]
