"""Calibration: torchmetrics' and numpy's numbers of the model's logits; scores that are no logits are refused."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import KILLED, run_process
from runs import require_same, straight
from torchmetrics.classification import MulticlassCalibrationError

from clearctl import rundir, train
from clearctl.config.check import check
from clearctl.config.load import Config
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.layout import features_file
from clearctl.report.groups import group_runs
from clearctl.report.report import FORMATS, TERMINAL, render
from clearctl.report.runs import find_runs, read_run
from clearctl.rundir import eval_file
from clearctl.strategies.watching.calibration import (
    calibration_metrics,
    expected_calibration_error,
    negative_log_likelihood,
)

METRICS = "metrics=[{'type': 'calibration_metrics', 'stream': True}]"


def by_hand(scores: torch.Tensor, labels: torch.Tensor, n_bins: int = 15) -> tuple[float, float]:
    """ECE by torchmetrics' own class, fed in two parts; NLL by numpy."""
    metric = MulticlassCalibrationError(num_classes=scores.shape[1], n_bins=n_bins)
    for part in (slice(0, 3), slice(3, None)):
        metric.update(scores[part].double().softmax(1), labels[part])
    x = scores.double().numpy()
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return float(metric.compute()), float(-log_p[np.arange(len(x)), labels.numpy()].mean())


@pytest.mark.parametrize("scale", [0.3, 1.0, 20.0])
def test_the_numbers_of_scores(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = scale * torch.rand(50, 4, generator=generator, dtype=torch.float64)  # in [0, 1] too, as probabilities are
    labels = torch.randint(4, (50,), generator=generator)
    for n_bins in (15, 3):
        ece, nll = by_hand(scores, labels, n_bins)
        assert expected_calibration_error(scores, labels, n_bins) == ece
    assert negative_log_likelihood(scores, labels) == pytest.approx(nll, rel=1e-12)


def test_of_a_sure_model_and_of_a_diverged_one() -> None:
    sure = torch.tensor([[1e4, 0.0], [1e4, 0.0]], dtype=torch.float64)
    assert expected_calibration_error(sure, torch.tensor([0, 1])) == 0.5
    broken = torch.full((2, 2), math.nan, dtype=torch.float64)
    assert math.isnan(expected_calibration_error(broken, torch.tensor([0, 1])))
    assert math.isnan(negative_log_likelihood(broken, torch.tensor([0, 1])))
    with pytest.raises(ValueError, match="n_bins=0"):
        calibration_metrics(n_bins=0)


@pytest.fixture(scope="module", params=["single", "bucket"])
def run(request: Any, features_config: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that measures calibration, also while a bucket is trained on."""
    overrides = [
        METRICS,
        "loggers=[{'type': 'CSVLogger'}, {'type': 'TextLogger'}, {'type': 'TensorboardLogger'}]",
        "cl_strategy.eval_every=1",
        "cl_strategy.eval_mb_size=5",
        f"scenario.task_labels={request.param}",
    ]
    work_dir = tmp_path_factory.mktemp("calibration")
    return train(features_config, dataset_root=prepared, work_dir=work_dir, overrides=overrides, device="cpu").run


def test_of_every_bucket_after_every_bucket(run: Path, prepared: Path) -> None:
    found = json.loads(eval_file(run).read_text())["test"]
    by_bucket = rundir.read_config(run)["scenario"]["task_labels"] == "bucket"
    for trained, file in rundir.checkpoints(run).items():
        weights = torch.load(file, weights_only=True)
        everything = []
        for bucket in range(3):
            x, labels = torch.load(features_file(prepared, "tiny", str(bucket)), weights_only=True)
            split = prepared / f"training_folder/testset_ratio_0.3/split_0/{bucket}/test_indices.json"
            rows = torch.tensor(json.loads(split.read_text()))
            scores = torch.nn.functional.linear(x[rows], weights["head.fc.weight"], weights["head.fc.bias"])
            everything.append((scores, torch.tensor(labels)[rows]))
            expected = by_hand(*everything[-1])
            place = f"eval_phase/test_stream/Task{bucket if by_bucket else 0:03}/Exp{bucket:03}"
            measured = [found[str(trained - 1)][f"{name}_Exp/{place}"] for name in ("ECE", "NLL")]
            assert measured == pytest.approx(expected, rel=1e-5)
        if by_bucket:
            assert found["2"]["ECE_Stream/eval_phase/test_stream/Task002"] == found["2"][f"ECE_Exp/{place}"]
            continue
        of_all = by_hand(*(torch.cat(part) for part in zip(*everything, strict=True)))
        place = "eval_phase/test_stream/Task000"
        measured = [found[str(trained - 1)][f"{name}_Stream/{place}"] for name in ("ECE", "NLL")]
        assert measured == pytest.approx(of_all, rel=1e-5)


def test_in_the_loggers(run: Path) -> None:
    last = "ECE_Exp/eval_phase/test_stream/Task000/Exp000"
    value = json.loads(eval_file(run).read_text())["test"]["0"][last]
    assert f"{last} = {value:.4f}" in (run / "log.txt").read_text()
    assert list(run.glob("tensorboard/*"))


def test_in_the_report(run: Path) -> None:
    groups = group_runs(find_runs([run]))
    test = json.loads(eval_file(run).read_text())["test"]
    task = (lambda bucket: bucket) if rundir.read_config(run)["scenario"]["task_labels"] == "bucket" else lambda _: 0
    matrix = np.array(
        [
            [test[str(i)][f"NLL_Exp/eval_phase/test_stream/Task{task(j):03}/Exp{j:03}"] for j in range(3)]
            for i in range(3)
        ]
    )
    numbers = read_run(run).numbers
    assert numbers["nll"] == pytest.approx(matrix[-1].mean(), rel=1e-12)
    assert numbers["nll_in_domain"] == pytest.approx(np.diagonal(matrix).mean(), rel=1e-12)
    assert rundir.read_eval(run)["other_metrics"].keys() == {"ece", "ece_in_domain", "nll", "nll_in_domain"}
    for format in FORMATS:
        if format != TERMINAL:
            text = render(groups, format)
            assert "NLL" in text or "nll" in text
            assert f"{numbers['nll']:.3f}" in text or repr(numbers["nll"]) in text
    assert float(next(csv.DictReader(render(groups, "csv").splitlines()))["ece_mean"]) == numbers["ece"]
    assert group_runs(find_runs([run]))[0].numbers["ece"].mean == numbers["ece"]


def test_killed_within_a_test_and_resumed(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    """Between two tests no state holds scores."""
    given = {"dataset_root": prepared, "overrides": [METRICS, "cl_strategy.eval_every=1"]}
    whole = straight(features_config, tmp_path / "straight", **given)
    arguments = {"device": "cpu", "work_dir": tmp_path / "killed", **given}
    ended = run_process(features_config, arguments=arguments, at=("test", 1, 1, 2), saving="steps")
    assert ended.exit_code == KILLED
    (run,) = (tmp_path / "killed").iterdir()
    largest = max(file.stat().st_size for file in run.glob("state/*"))
    run_process(run).require()
    require_same(run, whole.run)
    plain = {**arguments, "work_dir": tmp_path / "plain", "overrides": ["cl_strategy.eval_every=1"]}
    assert run_process(features_config, arguments=plain, at=("test", 1, 1, 2), saving="steps").exit_code == KILLED
    assert largest < max(file.stat().st_size for file in tmp_path.glob("plain/*/state/*")) + 8000


def test_a_run_that_does_not_measure_it_has_no_such_number(trained: Any) -> None:
    assert "other_metrics" not in rundir.read_eval(trained.run)
    text = "".join(render(group_runs(find_runs([trained.run])), format) for format in FORMATS if format != TERMINAL)
    assert "ECE" not in text
    assert "nll" not in text.lower()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cl_strategy": {"type": "NCM"}}, "those of NCM are nearness"),
        ({"cl_strategy": {"type": "FeCAM"}}, "those of FeCAM are nearness"),
        ({"cl_strategy": {"type": "RanPAC"}}, "those of RanPAC are regressions"),
        ({"cl_strategy": {"type": "Naive", "loss": {"type": "FocalLoss"}}}, "FocalLoss here trains one sigmoid"),
        (
            {"model": {"head": {"type": "LinearClsHead", "loss": {"type": "CrossEntropyLoss", "use_sigmoid": True}}}},
            "CrossEntropyLoss here trains one sigmoid",
        ),
        ({"cl_strategy": {"type": "BatchSLDA"}}, None),
        ({"cl_strategy": {"type": "Naive", "loss": {"type": "LabelSmoothLoss", "label_smooth_val": 0.1}}}, None),
        ({}, None),
    ],
)
def test_scores_that_are_no_logits_are_refused(changes: dict[str, Any], words: str | None) -> None:
    values = {
        "model": {"head": {"type": "LinearClsHead"}},
        "cl_strategy": {"type": "Naive"},
        "metrics": [{"type": "calibration_metrics"}],
        **changes,
    }
    faults = [fault for fault in check(Config(values, "x.py"), CATALOGUE) if fault.key == "metrics.0"]
    assert [words in fault.message for fault in faults] == ([] if words is None else [True]) if words else not faults
