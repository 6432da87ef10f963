"""The grid of heads on features of foundation models, from `make foundation-table` to the table."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import make_clear_folder
from warm import run_warm

from clearctl import make_fewshot, prepare_avalanche
from clearctl.engine.build.preflight import check_config
from clearctl.layout import features_file, filelist_file, read_filelist

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "foundation"
PROTOCOLS = {"streaming": "", "iid": " (iid)", "shot1": " (1 shot)", "shot5": " (5 shot)"}
HEADS = {
    "linear": "Linear",
    "cosine": "Cosine",
    "replay": "Replay",
    "ncm": "NCM",
    "slda": "SLDA",
    "ridge": "Ridge",
    "ranpac": "RanPAC",
    "fecam": "FeCAM",
}
FEATURES = "vit_base_patch16_clip_224.openai"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two buckets with 11 classes of 8 images, and features of 12 numbers."""
    folder = tmp_path_factory.mktemp("data") / "with space"
    root = make_clear_folder(folder, ("1", "2"), classes=[f"class {i}" for i in range(11)], images=8)
    prepare_avalanche(root, seeds=[0])
    for shot in (1, 5):
        make_fewshot(root, shot=shot, seeds=[0])
    for bucket in ("1", "2"):
        labels = [label for _, label in read_filelist(filelist_file(root, bucket))]
        file = features_file(root, FEATURES, bucket)
        file.parent.mkdir(parents=True)
        torch.save((torch.nn.functional.one_hot(torch.tensor(labels), 12) + torch.randn(len(labels), 12), labels), file)
    return root


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_head_is_there_and_takes_the_features_as_they_are(protocol: str, dataset: Path) -> None:
    files = sorted((FOLDER / protocol).glob("*.py"))
    assert {file.stem for file in files} == set(HEADS)
    for file in files:
        assert check_config(file, dataset_root=dataset).faults == []
        names = re.findall(r'^name = "(.*)"$', file.read_text(), re.MULTILINE)
        assert names == [HEADS[file.stem] + PROTOCOLS[protocol]]


@pytest.mark.slow
def test_the_table_is_one_command(dataset: Path, tmp_path: Path) -> None:
    """All of the recipe, on four of the 32 configs: RanPAC's 10,000 projections alone would take minutes."""
    out = tmp_path / "foundation"
    variables = [f"DATASET={dataset}", f"FOUNDATION={out}", f"FEATURES={FEATURES}", "SEEDS=0", "SWEEP=--device cpu"]
    recipe = subprocess.run(
        ["make", "-n", "-C", str(ROOT), "foundation-table", *variables], capture_output=True, text=True, check=True
    ).stdout
    lines = [line for line in recipe.replace("\\\n", " ").splitlines() if ".venv/bin/clearctl " in line]
    assert len(lines) == 6
    four = ["streaming/ncm.py", "iid/slda.py", "shot1/ridge.py", "shot5/fecam.py"]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    for line in lines:
        ours = line.replace(".venv/bin/clearctl", "clearctl")
        ours = ours.replace("configs/foundation/*/*.py", " ".join(f"configs/foundation/{name}" for name in four))
        *_, result = run_warm(ours, ROOT, environment)
        assert result.returncode == 0, (line, result.stderr)
    assert all(name in result.stdout for name in ("NCM", "SLDA (iid)", "Ridge (1 shot)", "FeCAM (5 shot)"))
    assert (out / "table.tex").is_file()
    assert (out / "report.html").stat().st_size > 10_000
