"""Accuracy class by class, from what real runs leave in eval.json."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.folders import make_run
from runs import METRICS

from clearctl.report.classes import class_accuracies
from clearctl.report.groups import Group, group_runs
from clearctl.report.runs import read_run

STREAM = "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000"
BUCKET = "Top1_ClassAcc_Exp/eval_phase/test_stream/Task000"
CONFUSION = "ConfusionMatrix_Stream/eval_phase/test_stream"


def group(*folders: Path) -> Group:
    [found] = group_runs([read_run(folder) for folder in folders])
    return found


def test_nothing_where_nothing_was_measured(tmp_path: Path) -> None:
    assert class_accuracies(group(make_run(tmp_path / "run"))) is None


def test_means_over_the_runs_by_hand(tmp_path: Path) -> None:
    measured = [
        {
            0: {f"{STREAM}/0": 0.25, f"{STREAM}/2": 1.0},
            1: {f"{STREAM}/0": 0.5, f"{STREAM}/2": None},
            2: {f"{STREAM}/0": 0.75, f"{STREAM}/2": 0.5, f"{BUCKET}/Exp001/2": first},
        }
        for first in (0.5, 1.0)
    ]
    folders = [make_run(tmp_path / str(seed), seed=seed, measured=measured[seed]) for seed in (0, 1)]
    found = class_accuracies(group(*folders))
    assert found is not None
    assert found.names == ["BACKGROUND", "camera", "cup of tea"]
    nan = np.nan
    np.testing.assert_array_equal(found.over_time, [[0.25, 0.5, 0.75], [nan, nan, nan], [1.0, nan, 0.5]])
    np.testing.assert_array_equal(found.at_end, [[nan, nan, nan], [nan, nan, nan], [nan, 0.75, nan]])


def test_rows_of_a_confusion_matrix_are_the_true_classes(tmp_path: Path) -> None:
    counts = {i: {CONFUSION: [[3, 1, 0], [0, 0, 0], [2 + i, 0, 2 - i]]} for i in range(3)}
    found = class_accuracies(group(make_run(tmp_path / "run", measured=counts)))
    assert found is not None
    assert found.at_end is None
    nan = np.nan
    np.testing.assert_array_equal(found.over_time, [[0.75, 0.75, 0.75], [nan, nan, nan], [0.5, 0.25, 0.0]])


def test_shares_of_what_was_predicted_report_no_accuracy(tmp_path: Path) -> None:
    counts = {i: {CONFUSION: [[0.5, 0.5], [0.0, 1.0]]} for i in range(3)}
    values: dict[str, Any] = {"metrics": [{"type": "confusion_matrix_metrics", "stream": True, "normalize": "pred"}]}
    assert class_accuracies(group(make_run(tmp_path / "run", measured=counts, **values))) is None


def test_what_only_some_runs_measured_is_left_out(tmp_path: Path) -> None:
    measured = make_run(tmp_path / "0", measured={i: {f"{STREAM}/0": 0.5} for i in range(3)})
    assert class_accuracies(group(measured, make_run(tmp_path / "1", seed=1))) is None


def test_classes_without_a_name_have_their_number(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", measured={0: {f"{STREAM}/3": 1.0}})
    environment = json.loads((folder / "environment.json").read_text())
    del environment["dataset"]["class_names"]
    (folder / "environment.json").write_text(json.dumps(environment))
    found = class_accuracies(group(folder))
    assert found is not None
    assert found.names == ["0", "1", "2", "3"]


BY_BUCKET = {"scenario.task_labels": "bucket"}


def test_a_task_label_for_each_bucket(tmp_path: Path) -> None:
    stream, bucket = (name.replace("Task000", "Task{:03}") for name in (STREAM, BUCKET))
    measured = {
        number: {
            **{f"{stream.format(label)}/2": (label + number) / 4 for label in range(3)},
            **{f"{bucket.format(label)}/Exp{label:03}/2": label / 4 for label in range(3)},
            f"{bucket.format(0)}/Exp002/2": 0.0,  # as where the config lists classes by label
            f"{stream.format(1)}/0": None,
        }
        for number in range(3)
    }
    found = class_accuracies(group(make_run(tmp_path / "run", measured=measured, **BY_BUCKET)))
    assert found is not None
    assert found.over_buckets
    nan = np.nan
    np.testing.assert_array_equal(found.over_time, [[nan] * 3, [nan] * 3, [0.25, 0.5, 0.75]])
    np.testing.assert_array_equal(found.at_end, [[nan] * 3, [nan] * 3, [0.0, 0.25, 0.5]])
    for values in measured.values():  # which counts images
        values[CONFUSION] = [[3, 1, 0], [0, 4, 0], [2, 0, 2]]
    found = class_accuracies(group(make_run(tmp_path / "counted", measured=measured, **BY_BUCKET)))
    assert found is not None
    assert not found.over_buckets
    np.testing.assert_array_equal(found.over_time, [[0.75] * 3, [1.0] * 3, [0.5] * 3])


@pytest.fixture(scope="module")
def measured_run(prepared: Path, tiny_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from clearctl import train

    overrides = (f"metrics={METRICS!r}",)
    work_dir = tmp_path_factory.mktemp("measured")
    return train(tiny_config, device="cpu", work_dir=work_dir, dataset_root=prepared, overrides=overrides).run


def test_a_real_run_that_measured_them(measured_run: Path) -> None:
    found = class_accuracies(group(measured_run))
    assert found is not None
    assert found.over_time is not None
    assert found.at_end is not None
    evaluation = json.loads((measured_run / "eval.json").read_text())["test"]
    # All classes have as many test images in a bucket, but for one image: the confusion matrices tell how many.
    counts = [np.array(evaluation[str(i)][CONFUSION]) for i in range(3)]
    by_hand = np.array([[matrix[label, label] / matrix[label].sum() for matrix in counts] for label in range(3)])
    np.testing.assert_allclose(found.over_time, by_hand, rtol=0, atol=1e-12)
    for bucket in range(3):
        for label in range(3):
            assert found.at_end[label, bucket] == evaluation["2"][f"{BUCKET}/Exp{bucket:03d}/{label}"]


def test_the_confusion_matrix_of_a_real_run_alone_says_the_same(measured_run: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(measured_run, tmp_path / "run")
    evaluation = json.loads((folder / "eval.json").read_text())
    for test in evaluation["test"].values():
        for name in [name for name in test if "ClassAcc" in name]:
            del test[name]
    (folder / "eval.json").write_text(json.dumps(evaluation))
    alone, both = class_accuracies(group(folder)), class_accuracies(group(measured_run))
    assert alone is not None
    assert both is not None
    assert alone.at_end is None
    np.testing.assert_allclose(alone.over_time, both.over_time, rtol=0, atol=1e-12)
