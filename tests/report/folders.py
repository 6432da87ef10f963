"""Run folders written by hand, as a training leaves them, so that a test knows every number in them."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearctl.config.load import dump
from clearctl.report.groups import Group, group_runs
from clearctl.report.runs import find_runs

Rows = Sequence[Sequence[float]]

# Of three buckets; every mean of its parts is a short decimal.
MATRIX = ((0.8, 0.6, 0.4), (0.7, 0.9, 0.5), (0.5, 0.7, 0.9))
UNTRAINED = (0.3, 0.2, 0.1)
DIGEST = "0" * 64
CLASS_NAMES = ("BACKGROUND", "camera", "cup of tea")
SECONDS = 0.5  # of an epoch


def make_run(
    folder: Path,
    matrix: Rows = MATRIX,
    seed: int = 0,
    *,
    bucket_names: Sequence[str] | None = None,
    untrained: Sequence[float] | None = None,
    epochs: int = 2,
    seconds: float = SECONDS,
    filelists: str = DIGEST,
    class_names: Sequence[str] = CLASS_NAMES,
    config: str | None = "configs/naive.py",
    environment: Mapping[str, Any] | None = None,
    measured: Mapping[int, Mapping[str, Any]] | None = None,
    diverged: Mapping[str, Any] | None = None,
    **values: Any,
) -> Path:
    """Write a run folder and return it.

    Args:
        folder: made, with what is above it.
        matrix: R, a row for each bucket trained on; with fewer rows than columns the run is still going.
        seed: the run's; that of the split is `values`' "scenario.seed".
        bucket_names: "0", "1" and so on where None.
        untrained: the accuracies before any training; a hundredth of the bucket's number plus 0.1 where None.
        epochs: of each bucket, each of `seconds`; the loss falls and the accuracy rises from one to the next.
        filelists: the digest that tells one dataset from another.
        class_names: the dataset's.
        config: the file that the run came from.
        environment: what environment.json has besides, or has other than usual.
        measured: {index of the bucket trained on: further metrics that eval.json has of the tests after it}.
        diverged: where it did, as eval.json has it.
        values: what the config has other than usual, by dotted key: `**{"cl_strategy.optimizer.lr": 0.1}`.
    """
    names = list(bucket_names or map(str, range(len(matrix[0]))))
    before = list(untrained or (UNTRAINED if len(names) == 3 else [0.1 + 0.01 * i for i in range(len(names))]))
    (folder / "checkpoints").mkdir(parents=True)
    _write_config(folder, seed, values)
    _write_environment(folder, seed, values, filelists, class_names, config, environment or {})
    _write_metrics(folder, matrix, names, epochs, seconds)
    _write_results(folder, matrix, names, before, measured or {}, diverged)
    for done in range(1, len(matrix) + 1):
        (folder / f"checkpoints/exp_{done}.pth").write_bytes(b"weights, which no report reads")
    sums = (hashlib.sha256(file.read_bytes()).hexdigest() + f"  {file.name}\n" for file in folder.glob("checkpoints/*"))
    (folder / "checkpoints/SHA256SUMS").write_text("".join(list(sums)))
    (folder / "log.txt").write_text("what the TextLogger wrote\n")
    if len(matrix) < len(names):
        (folder / "state").mkdir()
        (folder / f"state/bucket_{len(matrix):04d}.state").write_bytes(b"what an exact resume needs")
    return folder


def groups_of(folder: Path, **options: Any) -> list[Group]:
    """The groups of all runs in `folder`, with `options` of `group_runs`."""
    return group_runs(find_runs([folder]), **options)


def make_few(root: Path) -> Path:
    """Six runs in `root`: two learning rates of one config, one with two seeds; ties; names to be escaped; one going.

    That one has a partner with all buckets, and there is one that has none.
    """
    better = ((0.9, 0.6, 0.4), (0.7, 0.9, 0.5), (0.6, 0.8, 0.9))
    make_run(root / "1", MATRIX, 0)
    make_run(root / "2", better, 1, **{"scenario.seed": 1})
    make_run(root / "3", MATRIX, 0, **{"cl_strategy.optimizer.lr": 1.0})
    name = "50% replay_of [a|b] & {c} $d^2$ #1 ~*\\"
    make_run(root / "4", better, 0, name=name, seconds=0.25, **{"cl_strategy.type": "Replay"})
    make_run(root / "5", better[:2], 1, name=name, **{"cl_strategy.type": "Replay"})
    make_run(root / "6", better[:1], 0, config="configs/ewc.py", **{"cl_strategy.type": "EWC"})
    return root


def summary(matrix: Rows, untrained: Sequence[float]) -> tuple[dict[str, float], dict[str, float]]:
    """CLEAR's and GEM's numbers of a whole matrix, entry by entry; NaN where there is no entry."""
    parts: dict[str, list[float]] = {
        "in_domain": [],
        "next_domain": [],
        "accuracy": [],
        "backward_transfer": [],
        "forward_transfer": [],
    }
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if i == j:
                parts["in_domain"].append(value)
            if j == i + 1:
                parts["next_domain"].append(value)
            parts["accuracy"] += [value] if j <= i else []
            parts["backward_transfer"] += [value] if j < i else []
            parts["forward_transfer"] += [value] if j > i else []
    later = range(1, len(matrix))
    gem = {
        "gem_bwt": [matrix[-1][i - 1] - matrix[i - 1][i - 1] for i in later],
        "gem_fwt": [matrix[i - 1][i] - untrained[i] for i in later],
    }
    return {name: _mean(found) for name, found in parts.items()}, {name: _mean(found) for name, found in gem.items()}


def added(matrix: Rows) -> dict[str, float]:
    """The numbers that a report has on request."""
    clear, _ = summary(matrix, [0.0] * len(matrix))
    parts = [clear[name] for name in ("next_domain", "in_domain", "backward_transfer", "forward_transfer")]
    return {"challenge": _mean(parts), "final_domain": _mean([row[-1] for row in matrix])}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _write_config(folder: Path, seed: int, values: Mapping[str, Any]) -> None:
    config: dict[str, Any] = {
        "scenario": {
            "dataset_type": "CLEAR",
            "evaluation_protocol": "iid",
            "seed": 0,
            "feature_type": "tiny",
            "dataset_root": "/data/CLEAR",
        },
        "model": {"head": {"type": "LinearClsHead", "num_classes": 3, "in_channels": 5}},
        "cl_strategy": {
            "type": "Naive",
            "train_mb_size": 8,
            "train_epochs": 2,
            "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
        },
        "work_dir": "/runs",
        "seed": seed,
        "metrics": [{"type": "accuracy_metrics", "epoch": True, "experience": True, "stream": True}],
        "loggers": [{"type": "TextLogger"}],
    }
    for key, value in values.items():
        *above, last = key.split(".")
        place = config
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    (folder / "config.py").write_text(dump(config))


def _write_environment(
    folder: Path,
    seed: int,
    values: Mapping[str, Any],
    filelists: str,
    class_names: Sequence[str],
    config: str | None,
    other: Mapping[str, Any],
) -> None:
    root = values.get("scenario.dataset_root", "/data/CLEAR")
    environment = {
        "clearctl": "0.1.0",
        "python": "3.11.7",
        "platform": "Linux",
        "packages": {"torch": "2.11.0", "torchvision": "0.26.0", "avalanche-lib": "0.6.0", "numpy": "2.4.0"},
        "device": "cpu",
        "device_name": "CPU",
        "torch_threads": 1,
        "processes": 1,
        "git": None,
        "gpu": None,
        "seed": seed,
        "dataset": {
            "root": root,
            "fingerprint": DIGEST,
            "filelists": filelists,
            "features": DIGEST,
            "class_names": list(class_names),
        },
        "config": config,
        "weights": {},
        "wandb_run": None,
        **{name: value for name, value in other.items() if name != "dataset"},
    }
    dataset = environment["dataset"]
    assert isinstance(dataset, dict)
    dataset |= other.get("dataset", {})
    (folder / "environment.json").write_text(json.dumps(environment, indent=2) + "\n")


def _write_metrics(folder: Path, matrix: Rows, names: Sequence[str], epochs: int, seconds: float) -> None:
    lines = []
    for number, row in enumerate(matrix, 1):
        for epoch in range(1, epochs + 1):
            lines.append(
                {
                    "event": "epoch",
                    "bucket": names[number - 1],
                    "bucket_number": number,
                    "num_buckets": len(names),
                    "epoch": epoch,
                    "num_epochs": epochs,
                    "num_samples": 24,
                    "seconds": seconds,
                    "loss": 2.0 / epoch,
                    "accuracy": 1.0 - 0.5 / epoch,
                    "lr": 0.1,
                }
            )
        trained_to = names[number - 1]
        lines += [
            {"event": "test", "trained_to": trained_to, "bucket": bucket, "accuracy": value}
            for bucket, value in zip(names, row, strict=True)
        ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_results(
    folder: Path,
    matrix: Rows,
    names: Sequence[str],
    untrained: Sequence[float],
    measured: Mapping[int, Mapping[str, Any]],
    diverged: Mapping[str, Any] | None,
) -> None:
    rows = [["trained_to", *names], *([name, *map(repr, row)] for name, row in zip(names, matrix, strict=False))]
    (folder / "accuracy_matrix.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    complete = len(matrix) == len(names)
    clear, gem = summary(matrix, untrained) if complete else ({}, {})
    test = {}
    for number, row in enumerate(matrix):
        of_buckets = {f"Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp{i:03d}": value for i, value in enumerate(row)}
        stream = {"Top1_Acc_Stream/eval_phase/test_stream/Task000": _mean(row)}
        test[str(number)] = {**of_buckets, **stream, **measured.get(number, {})}
    found = {
        "train": {str(i): {"Top1_Acc_Epoch/train_phase/train_stream/Task000": 0.75} for i in range(len(matrix))},
        "test": test,
        "clear_metrics": _without_nan(clear),
        "gem_metrics": _without_nan(gem),
        "untrained": list(untrained),
        "diverged": diverged,
    }
    (folder / "eval.json").write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")


def _without_nan(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in numbers.items()}
