"""AUROC of confidence against the classes that a stream leaves out: scikit-learn's number of the model's logits."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from clearctl import rundir, train
from clearctl.config.fill import fill
from clearctl.engine.build.config import open_run_config
from clearctl.engine.build.preflight import check_config
from clearctl.engine.build.stream import build_stream
from clearctl.strategies.watching.left_out import auroc

WITHOUT = "scenario.drop_classes=['BACKGROUND']"
COUNTED = "model.head.num_classes='dataset'"
METRIC = {"type": "auroc_metrics"}
MEASURED = f"metrics=[{METRIC!r}]"


def confidence(scores: torch.Tensor) -> np.ndarray:
    return scores.double().softmax(1).amax(1).numpy()


def by_hand(known: torch.Tensor, unknown: torch.Tensor) -> float:
    kind = [1] * len(known) + [0] * len(unknown)
    return float(roc_auc_score(kind, np.concatenate([confidence(known), confidence(unknown)])))


def test_the_area_of_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    known, unknown = (scale * torch.rand(30, 4, generator=generator) for scale in (3.0, 1.0))
    assert auroc(known, unknown) == pytest.approx(by_hand(known, unknown), abs=1e-6)
    assert auroc(unknown, unknown) == 0.5
    assert math.isnan(auroc(known, unknown[:0]))
    assert math.isnan(auroc(known, torch.full((2, 4), math.nan)))


@pytest.mark.parametrize("overrides", [(), ("scenario.validation=0.2",)])
def test_each_bucket_is_told_from_what_it_leaves_out(
    overrides: tuple[str, ...], features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    given = [WITHOUT, COUNTED, *overrides]
    measured = f"metrics=[{METRIC!r}, {dict(type='accuracy_metrics', experience=True)!r}]"
    plain, result = (
        train(features_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=[*given, *more])
        for more in ([], [measured, "cl_strategy.eval_every=1"])
    )
    assert result.matrix.tolist() == plain.matrix.tolist()
    settings = fill(open_run_config(result.run))
    stream = build_stream(settings.scenario, settings.data)
    expected = np.empty((3, 3))
    for trained in range(3):
        weights = torch.load(rundir.checkpoint_file(result.run, trained + 1), weights_only=True)
        weight, bias = weights["head.fc.weight"], weights["head.fc.bias"]
        for number, bucket in enumerate(stream.buckets):
            parts = [torch.stack([part[i][0] for i in range(len(part))]) for part in (bucket.test, bucket.left_out)]
            expected[trained, number] = by_hand(*(x @ weight.T + bias for x in parts))
    found = rundir.read_eval(result.run)
    for trained in range(3):
        values = found["test"][str(trained)]
        names = [f"AUROC_Exp/eval_phase/test_stream/Task000/Exp00{number}" for number in range(3)]
        assert [values[name] for name in names] == pytest.approx(expected[trained].tolist(), abs=1e-6)
    assert result.numbers["auroc"] == pytest.approx(expected[-1].mean(), abs=1e-6)
    assert result.numbers["auroc_in_domain"] == pytest.approx(expected.diagonal().mean(), abs=1e-6)
    assert not any("AUROC" in name for part in found.get("validation", {}).get("test", {}).values() for name in part)


def test_images_are_read_from_the_store_too(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    found = []
    for cache in ("ram", "off"):
        overrides = [WITHOUT, COUNTED, MEASURED, f"data.cache={cache}", "cl_strategy.train_epochs=1"]
        result = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides)
        found.append(result.numbers["auroc"])
    assert found[0] == found[1]
    assert 0 < found[0] < 1


def test_all_classes_leave_nothing_to_tell_apart(features_config: Path, prepared: Path) -> None:
    (fault,) = check_config(features_config, dataset_root=prepared, overrides=[MEASURED]).faults
    assert "metrics.0: it needs classes outside the stream: give scenario.classes or scenario.drop_classes" in fault


def test_scores_that_are_no_logits_have_none(features_config: Path, prepared: Path) -> None:
    strategy = "cl_strategy={'type': 'NCM', 'train_mb_size': 8}"
    faults = check_config(
        features_config, dataset_root=prepared, overrides=[MEASURED, WITHOUT, COUNTED, strategy]
    ).faults
    assert any("it uses the softmax of the scores as probabilities" in fault for fault in faults)
