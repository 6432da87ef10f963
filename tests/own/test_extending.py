"""The examples of docs/extending.md, run as they are written there."""

import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearctl import prepare_avalanche, train, verify
from clearctl.engine.build.preflight import check_config
from clearctl.engine.run.train import TrainResult

TEXT = (Path(__file__).parents[2] / "docs/extending.md").read_text(encoding="utf-8")
FILES: dict[str, str] = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
CONFIGS = [name for name, code in FILES.items() if "_base_" in code]
OF_IMAGES = ("network.py", "transform.py", "layout.py")
EXAMPLES = [name for name in CONFIGS if name != "layout.py"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, features_config: Path, tiny_config: Path) -> Path:
    """All examples, on the tests' configs in place of the demo's, which is of other images."""
    place = tmp_path_factory.mktemp("examples")
    for file, code in FILES.items():
        base = tiny_config if file in OF_IMAGES else features_config
        (place / file).write_text(code.replace("configs/quickstart.py", str(base)))
    return place


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_is_right_and_trains(
    name: str, folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the logger's file is
    assert check_config(folder / name, dataset_root=prepared).faults == []
    result = train(folder / name, device="cpu", dataset_root=prepared, work_dir=tmp_path)
    assert result.matrix.shape == (3, 3)


def test_the_logger_gets_each_value_and_the_summary(
    folder: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(folder / "logger.py", device="cpu", dataset_root=prepared, work_dir=tmp_path)
    lines = (tmp_path / "values.txt").read_text().splitlines()
    assert sum("Top1_Acc_Exp/eval_phase" in line for line in lines) == 9
    assert f"end in_domain {result.clear_metrics['in_domain']}" in lines


def test_a_row_of_ones_own_is_in_the_table(trained: TrainResult, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    subprocess.run([sys.executable, folder / "worst.py", trained.run, table], check=True)
    text = table.read_text()
    assert "worst bucket" in text
    assert f"{100 * trained.matrix[-1].min():.1f}" in text


def test_photos_are_laid_out_prepared_and_trained_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for number, name in enumerate(("bus", "cup of tea", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for year, day in itertools.product((2010, 2012, 2013), range(1, 11)):
            pixels = generator.normal(60 + 60 * number, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{year}-05-{day:02d}-photo.jpg")
    (tmp_path / "photos/dog/2013-05-02-photo.jpg").unlink()  # classes need not have as many

    subprocess.run([sys.executable, folder / "lay_out.py", "photos", "dataset/mine"], check=True)

    root = tmp_path / "dataset/mine"
    prepare_avalanche(root)
    verified = verify(root, images=True)
    assert (verified.findings, verified.buckets) == ((), ("1", "2", "3"))
    assert (
        (root / "training_folder/filelists/2/all.txt")
        .read_text()
        .startswith("labeled_images/2/bus/2012-05-01-photo.jpg 0\n")
    )
    assert check_config(folder / "layout.py").faults == []
    assert train(folder / "layout.py", device="cpu", work_dir=tmp_path / "runs").matrix.shape == (3, 3)


def test_there_is_an_example_of_each() -> None:
    expected = "plugin strategy network transform loss optimizer metric logger layout"
    assert [f"{name}.py" for name in expected.split()] == CONFIGS
    assert {"worst.py", "lay_out.py"} < FILES.keys()
    assert check_config(Path("configs/quickstart.py")).faults == []  # which the examples build on
