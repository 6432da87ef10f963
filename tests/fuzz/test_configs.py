"""Configs with anything in them pass the check and the dry run, or are refused by an error that says why."""

import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from fuzz.mutating import TIMES, mutated

from clearctl.config.load import dump, load
from clearctl.engine.build.preflight import check_config
from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ClearctlError

CONFIGS = Path(__file__).parents[2] / "configs"
EXAMPLES = 100  # of each of the kinds below
DRY_RUNS = 12
LINEAR = {"type": "LinearClsHead", "num_classes": 3, "in_channels": 5}
PLAIN = {"type": "SGD", "lr": 0.05, "momentum": 0.9}


def _features(base: str) -> dict[str, Any]:
    """A shipped strategy, on the small features of the tests."""
    strategy = load(CONFIGS / "_base_" / f"{base}.py").values["cl_strategy"]
    return {
        "scenario": {"dataset_type": "CLEAR", "evaluation_protocol": "streaming", "feature_type": "tiny"},
        "model": {"head": dict(LINEAR)},
        "cl_strategy": {**strategy, "train_mb_size": 8, "eval_mb_size": 16, "train_epochs": 1},
        "metrics": [{"type": "accuracy_metrics", "experience": True}, {"type": "topk_acc_metrics", "top_k": 2}],
        "loggers": [{"type": "TextLogger"}],
        "data": {"workers": 0, "loader": "auto"},
        "seed": 1,
    }


def _images() -> dict[str, Any]:
    values = load(Path(__file__).parents[1] / "configs" / "tiny.py").values
    values["scenario"] |= {"evaluation_protocol": "streaming", "seed": None}
    values["scenario"]["train_transform"].insert(
        0, {"type": "RandomApply", "p": 0.5, "transforms": [{"type": "ColorJitter", "brightness": 0.2}]}
    )
    values["cl_strategy"]["plugins"] = [
        {"type": "ReplayPlugin", "mem_size": 10},
        {"type": "EWCPlugin", "ewc_lambda": 1},
    ]
    return values | {"precision": "bf16", "channels_last": True, "data": {"cache": "auto", "workers": 0}}


def _scheduled() -> dict[str, Any]:
    values = _features("naive")
    values["cl_strategy"] = {
        "type": "Replay",
        "mem_size": 12,
        "train_mb_size": 8,
        "train_epochs": 2,
        "eval_every": 1,
        "optimizer": {"type": "AdamW", "lr": 0.01, "betas": [0.9, 0.99], "eps": 1e-8},
        "scheduler": {
            "type": "SequentialLR",
            "by": "step",
            "milestones": [2],
            "schedulers": [{"type": "LinearLR", "total_iters": 2}, {"type": "CosineAnnealingLR", "T_max": 8}],
        },
        "loss": {"type": "LabelSmoothLoss", "label_smooth_val": 0.1},
        "plugins": [{"type": "GradientClipping", "max_norm": 1.0}, {"type": "WarmUp", "steps": 2}],
        "buffer": {"type": "ReservoirSamplingBuffer", "max_size": 12},
    }
    return values


KINDS = {
    "naive": lambda: _features("naive"),
    "ewc": lambda: _features("ewc"),
    "lwf": lambda: _features("lwf"),
    "scheduled": _scheduled,
    "images": _images,
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_config_is_run_or_refused(
    kind: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    draw, values, file = random.Random(kind), KINDS[kind](), tmp_path / "config.py"
    found = {"refused by the check": 0, "refused by the dry run": 0, "run": 0}
    for number in range(EXAMPLES * TIMES):
        file.write_text(dump(mutated(values, draw)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                faults = check_config(file, dataset_root=prepared).faults
            except ClearctlError as error:
                faults = [str(error)]
            if faults:
                found["refused by the check"] += 1
                assert all(text and "Traceback" not in text for text in faults)
                continue
            if number % (EXAMPLES // DRY_RUNS):
                continue
            try:
                dry_run(file, device="cpu", dataset_root=prepared)
                found["run"] += 1
            except ClearctlError as error:
                found["refused by the dry run"] += error.exit_code > 1
            except Exception as error:
                raise AssertionError(
                    f"example {number}: {type(error).__name__}: {error}\n{file.read_text()}"
                ) from error
    assert found["refused by the check"] > EXAMPLES // 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.py"]
