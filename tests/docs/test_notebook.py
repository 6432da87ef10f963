"""docs/notebook.ipynb, run from its first cell to its last in a kernel of its own."""

import re
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def outputs(place: Path) -> dict[str, list[Any]]:
    """{source of a code cell: its outputs}. A cell that raises ends the test."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(place)}}).execute()
    return {cell.source: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def of_cell(outputs: dict[str, list[Any]], beginning: str) -> list[Any]:
    (found,) = [each for source, each in outputs.items() if source.startswith(beginning)]
    return found


def shown(outputs: list[Any], kind: str) -> str:
    """What a cell shows as its value."""
    return next(each.data[kind] for each in outputs if each.output_type == "execute_result")


@pytest.mark.slow
def test_progress_is_drawn_and_said_in_the_cell(outputs) -> None:
    cell = of_cell(outputs, "result = clearctl.train")
    drawn = [each for each in cell if each.output_type == "display_data"]
    assert len(drawn) == 1  # one bar, that was changed
    assert "text/html" in drawn[0].data
    said = "".join(each.text for each in cell if each.output_type == "stream" and each.name == "stdout")
    assert [f"bucket {name} ({number}/3): accuracy" in said for number, name in enumerate("148", 1)] == [True] * 3


@pytest.mark.slow
def test_the_matrix_shows_itself(outputs) -> None:
    html = shown(outputs["result"], "text/html")
    assert html.count("<td style='background:#") == 9
    assert len(shown(outputs["result"], "text/plain")) < 400


@pytest.mark.slow
def test_predictions_and_the_report(outputs, place) -> None:
    labels = shown(of_cell(outputs, "images = "), "text/plain")
    assert labels.count("'") == 2 * 6
    assert shown(of_cell(outputs, "over_time = "), "text/plain").startswith("{'1': ")
    assert "<html" in (place / "report.html").read_text()


def test_what_it_links_to_is_there() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    named = re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in cells if cell.cell_type == "markdown"))
    assert len(named) >= 3
    assert all((NOTEBOOK.parent / name).is_file() for name in named)


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells if cell.cell_type == "code")
