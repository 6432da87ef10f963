"""docs/commands.md is what docs/make_commands.py makes of the command line."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def make_commands():
    spec = importlib.util.spec_from_file_location("make_commands", DOCS / "make_commands.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_command_line_says(make_commands):
    assert (DOCS / "commands.md").read_text() == make_commands.page(), "run `make docs`"


def test_every_command_has_a_section():
    from clearctl.cli import app

    sections = re.findall(r"^## clearctl (.*)$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    single = [command.name for command in app.registered_commands]
    groups = [group.typer_instance.info.name for group in app.registered_groups]
    assert list(dict.fromkeys(section.split()[0] for section in sections)) == single + groups


def test_every_option_has_a_meaning():
    rows = re.findall(r"^\| `.*\|$", (DOCS / "commands.md").read_text(), re.MULTILINE)
    assert len(rows) > 100
    assert [row for row in rows if row.endswith("|  |")] == []


def test_other_code_makes_another_page(make_commands, monkeypatch):
    before = make_commands.page()
    commands = make_commands.typer.main.get_command(make_commands.app)
    (seed,) = [parameter for parameter in commands.commands["train"].params if parameter.name == "seed"]
    monkeypatch.setattr(seed, "help", "Another text.")
    monkeypatch.setattr(make_commands.typer.main, "get_command", lambda app: commands)
    assert "Another text." in make_commands.page() != before
