"""clearctl, as a user runs it: the command line itself, with its progress, its metrics and its run folder."""

from pathlib import Path
from typing import Any

from benchmarks.sides.stopwatch import take_times
from benchmarks.sides.task import BATCH, LR, MOMENTUM, STRATEGIES, Times

METRICS = Path(__file__).parents[2] / "configs" / "_base_" / "metrics.py"


def write_config(folder: Path, strategy: str, epochs: int) -> Path:
    """The config for the feature folder `folder`, beside it."""
    from benchmarks.folders import CLASSES, DIMENSION

    arguments = {"type": strategy, **STRATEGIES[strategy], "train_mb_size": BATCH, "eval_mb_size": BATCH}
    optimizer = {"type": "SGD", "lr": LR, "momentum": MOMENTUM}
    lines = (
        f"_base_ = [{str(METRICS)!r}]",
        f"scenario = dict(dataset_root={str(folder)!r}, feature_type='random')",
        f"model = dict(head=dict(type='LinearClsHead', num_classes={CLASSES}, in_channels={DIMENSION}))",
        f"cl_strategy = {arguments | {'train_epochs': epochs, 'optimizer': optimizer}!r}",
        "loggers = [dict(type='TextLogger')]",
        f"work_dir = {str(folder.parent / 'runs')!r}",
    )
    file = folder.parent / f"{folder.name}-{strategy}-{epochs}.py"
    file.write_text("\n".join(lines) + "\n")
    return file


def learn(folder: Path, strategy: str, epochs: int, device: str) -> Times:
    """Run `clearctl train` in this process, all metrics and the TextLogger of the demo config."""
    times = take_times()
    train("--device", device, write_config(folder, strategy, epochs))
    return times


def train(*arguments: Any) -> None:
    """`clearctl train` in this process. Raises SystemExit if it fails, after having said why on stderr."""
    from clearctl.cli import app

    try:
        app(["train", *map(str, arguments)])
    except SystemExit as end:
        if end.code:
            raise
