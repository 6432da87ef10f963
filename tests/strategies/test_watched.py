"""The metrics that give numbers in a test, against what a run's tests gave."""

import json
from pathlib import Path

from clearctl import rundir, train
from clearctl.strategies.watched import test_metrics as watched

METRICS = [
    dict(type="accuracy_metrics", minibatch=True, epoch=True, experience=True, stream=True, trained_experience=True),
    dict(type="loss_metrics", epoch_running=True, experience=True, stream=True),
    dict(type="topk_acc_metrics", top_k=2, epoch=True, experience=True, stream=True),
    dict(type="class_accuracy_metrics", stream=True),
    dict(type="forgetting_metrics", experience=True, stream=True),
    dict(type="confusion_matrix_metrics", stream=True),
    dict(type="accuracy_matrix_metrics"),
]


def test_they_are_those_of_a_run(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    numbers = [entry for entry in METRICS if "matrix" not in entry["type"]]
    arguments = dict(device="cpu", work_dir=tmp_path, dataset_root=prepared)
    run = train(features_config, overrides=[f"metrics={numbers!r}"], **arguments).run  # type: ignore[arg-type]
    found = json.loads(rundir.eval_file(run).read_text())["test"]["2"]
    assert {key.partition("/")[0] for key in found} == set(watched(METRICS))


def test_an_entry_with_a_fault_gives_none() -> None:
    wrong = ["accuracy_metrics", dict(type="acuracy_metrics"), dict(type="topk_acc_metrics"), dict(stream=True), {}]
    assert watched(wrong) == []
    assert watched([*wrong, METRICS[1]]) == ["Loss_Exp", "Loss_Stream"]
