"""The commands of docs/predict.md, run as they are printed, and its Python."""

import glob
import json
import re
import shutil
from pathlib import Path

import pytest
from predicting import make_on_features
from typer.testing import CliRunner

from clearctl.cli import app

PAGE = Path(__file__).parents[2] / "docs" / "predict.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(trained, prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where photos/, the weights of a backbone, and the two runs lie as the page has them."""
    place = tmp_path_factory.mktemp("predict")
    on_features = make_on_features(place / "features")
    shutil.copytree(prepared / "labeled_images/0/camera", place / "photos")
    shutil.copytree(trained.run, place / "work_dirs/own_data/20260101-120000-seed0")
    shutil.copytree(on_features.trained.run, place / "work_dirs/own_data_feature/20260101-120000-seed0")
    shutil.copy(on_features.weights, place / "backbone.pth")
    return place


def test_the_pages_commands(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 11
    for line in lines:
        words = []
        for word in line.split()[1:]:  # as a shell takes them: what is in quotes is left to clearctl
            expanded = glob.glob(word) if "*" in word and not word.startswith("'") else []
            words += expanded or [word.strip("'").replace("'", "")]
        answer = CliRunner().invoke(app, [words[0], *words[1:]])
        assert answer.exit_code == 0, (line, answer.stderr)
        if "--json" in words:
            assert len(json.loads(answer.stdout)["predictions"]) == 12
    assert (folder / "predictions.csv").read_text().startswith("image,bucket,rank,label,class_index,probability\n")


def test_the_pages_python(folder, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    alone, code = blocks("python")
    assert (
        CliRunner()
        .invoke(app, ["export", str(next(Path("work_dirs/own_data").iterdir())), "--output", "net.pt"])
        .exit_code
        == 0
    )
    shutil.copy(next(Path("photos").iterdir()), "photo.jpg")
    exec(alone, {})  # noqa: S102 - the code that the page shows
    assert capsys.readouterr().out.strip() in ("BACKGROUND", "camera", "cup of tea")
    names = {"run": next(Path("work_dirs/own_data").iterdir())}
    exec(code, names)  # noqa: S102 - likewise
    assert len(names["result"].labels) == len(names["result"].images) == 12
    assert names["indices"].shape == names["values"].shape == (12, 3)
