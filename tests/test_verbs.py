"""What `import clearctl` gives: every command as a function, and results that are short to look at."""

import inspect
import subprocess
import sys
import typing

import pytest

import clearctl
from clearctl.cli import app
from clearctl.shortrepr import ShortRepr

VERBS = [name for name in clearctl.__all__ if not name.startswith("__") and name != "progress_bar"]
# Commands whose function has another name, or of which Python needs none.
CALLED = {
    "import": "import_images",
    "eval": "evaluate",
    "export": "export_model",
    "report": "make_report",
    "doctor": "diagnose",
    "sweep": "run_sweep",
}
WITHOUT = {"demo", "list"}
PARTS_OF_SWEEP = {"plan_sweep", "plan_selection", "run_selection"}


def test_every_command_is_a_function() -> None:
    commands = {command.name for command in app.registered_commands} - WITHOUT
    assert {CALLED.get(name, name.replace("-", "_")) for name in commands} == {*VERBS} - PARTS_OF_SWEEP


@pytest.mark.process
def test_dir_lists_them_and_nothing_is_imported() -> None:
    code = "import sys, clearctl; print(*dir(clearctl)); print('torch' in sys.modules or 'typer' in sys.modules)"
    names, imported = subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()
    assert {*VERBS, "progress_bar", "__version__"} <= set(names.split())
    assert not {"Any", "importlib", "TYPE_CHECKING"} & set(names.split())
    assert imported == "False"


@pytest.mark.parametrize("name", VERBS)
def test_results_are_short(name: str) -> None:
    kind = inspect.signature(getattr(clearctl, name)).return_annotation
    kinds = typing.get_args(kind) if typing.get_origin(kind) is list else (kind,)
    for each in kinds:
        assert issubclass(each, ShortRepr)
        assert each.__repr__ is ShortRepr.__repr__ or each.__name__ == "PredictResult"  # which has a test of its own


def test_what_a_run_shows_of_itself(trained) -> None:
    assert len(repr(trained)) < 300
    assert "matrix=array[3, 3]" in repr(trained)
    html = trained._repr_html_()
    assert html.count("<td style='background:#") == 9
    assert f">{100 * trained.matrix[0, 1]:.1f}</td>" in html
