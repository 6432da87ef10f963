"""A run on some classes and buckets: its indices, matrix, checkpoint and report are theirs."""

import json
from pathlib import Path

import pytest
import torch

from clearctl import evaluate, layout, train
from clearctl.engine.build.preflight import check_config
from clearctl.errors import ConfigError

WITHOUT = "scenario.drop_classes=['BACKGROUND']"
COUNTED = "model.head.num_classes='dataset'"


def test_a_run_learns_the_classes_and_buckets_that_are_asked_for(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    overrides = [WITHOUT, COUNTED, "scenario.buckets='1-2'", "scenario.max_per_class=3"]
    assert check_config(features_config, dataset_root=prepared, overrides=overrides).faults == []
    result = train(features_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides)
    assert result.bucket_names == ["1", "2"]
    described = json.loads((result.run / "environment.json").read_text())["dataset"]
    assert described["class_names"] == layout.read_class_names(prepared)[1:]
    weights = torch.load(result.run / "checkpoints" / "exp_1.pth", weights_only=True)
    assert {tuple(value.shape) for value in weights.values()} == {(2, 5), (2,)}
    assert evaluate(result.run, device="cpu").matrix.tolist() == result.matrix.tolist()
    assert "2 classes" in (result.run / "report.html").read_text()


def test_a_number_of_classes_of_the_whole_dataset_is_a_fault(features_config: Path, prepared: Path) -> None:
    (fault,) = check_config(features_config, dataset_root=prepared, overrides=[WITHOUT]).faults
    assert fault.endswith("model.head.num_classes: found 3, but the dataset has 2 classes: set it to 2 or 'dataset'")
    (fault,) = check_config(
        features_config, dataset_root=prepared, overrides=["scenario.classes=['cups', 'camera']"]
    ).faults
    assert "scenario.classes: the dataset has no class 'cups'" in fault


def test_published_facts_count_what_is_left(tiny_config: Path) -> None:
    def faults(classes: int) -> list[str]:
        overrides = ["scenario.data_name=clear10", WITHOUT, f"model.head.num_classes={classes}"]
        return check_config(tiny_config, dataset_root="nowhere", overrides=overrides).faults

    assert faults(10) == []
    (fault,) = faults(11)
    assert "found 11, but data_name 'clear10' has 11 classes, of which the stream has 10" in fault


def test_contradictions_are_faults(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    both = [WITHOUT, "scenario.classes=['camera', 'cup of tea']", COUNTED]
    with pytest.raises(ConfigError, match="drop_classes: cannot be combined with scenario.classes"):
        train(features_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=both)
    (fault,) = check_config(features_config, overrides=["scenario.shot=1", "scenario.max_per_class=1"]).faults
    assert "scenario.max_per_class: cannot be combined with scenario.shot: leave one of them out" in fault
