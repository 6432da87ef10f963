"""clearctl, as a user runs it: the command line itself, with its progress, its metrics and its run folder."""

from pathlib import Path
from typing import Any

from benchmarks.sides.stopwatch import take_times
from benchmarks.sides.task import BATCH, LR, MOMENTUM, STRATEGIES, Times

SOLVING_BATCH = 1024
METRICS = Path(__file__).parents[2] / "configs" / "_base_" / "metrics.py"


def write_config(folder: Path, strategy: str, epochs: int) -> Path:
    """The config for the feature folder `folder`, next to it."""
    arguments = {"type": strategy, **STRATEGIES[strategy], "train_mb_size": BATCH, "eval_mb_size": BATCH}
    optimizer = {"type": "SGD", "lr": LR, "momentum": MOMENTUM}
    return _written(folder, f"{strategy}-{epochs}", arguments | {"train_epochs": epochs, "optimizer": optimizer})


def _written(folder: Path, name: str, strategy: dict[str, Any]) -> Path:
    import torch

    x, _ = torch.load(next(folder.glob("training_folder/features/random/*/all.pth")), mmap=True)
    classes = len((folder / "class_names.txt").read_text().splitlines())
    lines = (
        f"_base_ = [{str(METRICS)!r}]",
        f"scenario = dict(dataset_root={str(folder)!r}, feature_type='random')",
        f"model = dict(head=dict(type='LinearClsHead', num_classes={classes}, in_channels={x.shape[1]}))",
        f"cl_strategy = {strategy!r}",
        "loggers = [dict(type='TextLogger')]",
        f"work_dir = {str(folder.parent / 'runs')!r}",
    )
    file = folder.parent / f"{folder.name}-{name}.py"
    file.write_text("\n".join(lines) + "\n")
    return file


def learn(folder: Path, strategy: str, epochs: int, device: str) -> Times:
    """Run `clearctl train` in this process, all metrics and the TextLogger of the demo config."""
    times = take_times()
    train("--device", device, write_config(folder, strategy, epochs))
    return times


def solve(folder: Path, strategy: str, arguments: dict[str, Any]) -> Times:
    """The same on the CPU with a strategy that has no epochs and no optimizer."""
    times = take_times()
    sizes = {"train_mb_size": SOLVING_BATCH, "eval_mb_size": SOLVING_BATCH}
    train("--device", "cpu", _written(folder, strategy, {"type": strategy, **sizes, **arguments}))
    return times


def train(*arguments: Any) -> None:
    """`clearctl train` in this process. Raises SystemExit if it fails, after having said why on stderr."""
    from clearctl.cli import app

    try:
        app(["train", *map(str, arguments)])
    except SystemExit as end:
        if end.code:
            raise
