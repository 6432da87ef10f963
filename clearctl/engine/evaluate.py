"""Testing: the accuracy of weights on every bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clearctl import rundir
from clearctl.config.load import Config
from clearctl.data.samples import original_error
from clearctl.distributed import world
from clearctl.distributed.world import noticing_lost_peers, together
from clearctl.engine.build import build_experiment, build_model, build_stream, open_config
from clearctl.engine.checkpoint import load_exactly
from clearctl.engine.machine import deterministic_algorithms, resolve_device, seed_everything
from clearctl.engine.samples import build_samples, loader_arguments
from clearctl.engine.sharing import require_shareable
from clearctl.errors import DatasetError, RunError, UsageError
from clearctl.metrics import Matrix, clear_metrics, gem_metrics
from clearctl.models.fit import randomness_kept
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.gather import in_order


@dataclass(frozen=True)
class EvalResult:
    """Accuracies: one row [N] for each checkpoint, in the order of `checkpoints`.

    `matrix` R [N, N] and its numbers are there where a run has a checkpoint of every bucket.
    """

    bucket_names: list[str]
    checkpoints: list[Path]
    rows: list[list[float]]
    matrix: Matrix | None
    clear_metrics: dict[str, float]
    gem_metrics: dict[str, float]


def evaluate(
    target: Path | str,
    *,
    checkpoint: Path | str | None = None,
    device: str = "auto",
    dataset_root: Path | str | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = ignore,
) -> EvalResult:
    """Test a run folder's checkpoints, or a config with `checkpoint`, on every bucket of its stream.

    Under torchrun every process calls it, and they share the work.
    Writes nothing but decoded images, where `data.cache` has them kept. Raises RunError for a folder that is no run or
    a checkpoint that is not of the model.
    """
    target = Path(target)
    if target.is_dir():
        if not rundir.is_run(target):
            raise RunError(f"{target} is no run folder: it has no config.py and environment.json")
        file = rundir.config_file(target)
        found = rundir.checkpoints(target)
        if not found and checkpoint is None:
            raise RunError(f"{target} has no checkpoints yet: expected checkpoints/exp_<k>.pth")
    else:
        file, found = target, {}
        if checkpoint is None:
            raise UsageError(f"{target} is a config: name the weights to test with --checkpoint FILE")
    config = open_config(file, overrides=tuple(overrides), dataset_root=dataset_root, of_run=target.is_dir())
    require_shareable(config)
    torch_device = resolve_device(device)
    files = [Path(checkpoint)] if checkpoint is not None else list(found.values())
    with noticing_lost_peers(), together(torch_device):
        rows, names = _rows(config, files, torch_device, listener if world.is_first() else ignore)
    complete = checkpoint is None and list(found) == list(range(1, len(names) + 1))
    matrix = np.array(rows) if complete else None
    return EvalResult(
        names,
        files,
        rows,
        matrix,
        clear_metrics(matrix) if matrix is not None else {},
        gem_metrics(matrix) if matrix is not None else {},
    )


def _rows(
    config: Config, files: Sequence[Path], torch_device: torch.device, listener: Listener
) -> tuple[list[list[float]], list[str]]:
    """The accuracies of each checkpoint on every bucket, and the buckets' names."""
    seed_everything(config.values["seed"])
    stream = build_stream(config)
    model = build_model(config, stream, listener)
    samples = build_samples(config, stream, torch_device, listener, training=False)
    experiment = build_experiment(config, stream, model, torch_device, run=None, listener=listener, samples=samples)
    loading = loader_arguments(config, stream)
    test_stream = list(experiment.benchmark.test_stream)
    rows = []
    try:
        with deterministic_algorithms(bool(config.values.get("deterministic")), torch_device, listener):
            for weights in files:
                load_exactly(experiment.strategy.model, weights)
                listener(Message(f"testing {weights}"))
                experiment.strategy.eval(test_stream, **loading)
                rows.append([experiment.accuracy.accuracies[tested] for tested in range(len(stream.buckets))])
    except DatasetError as error:
        raise original_error(error) or error from None
    return rows, stream.bucket_names


@torch.no_grad()
def model_accuracies(
    model: nn.Module, experiences: Iterable[Any], device: torch.device, batch_size: int, workers: int
) -> list[float]:
    """The accuracy of `model` alone on the test set of each experience, in order.

    Leaves every random generator and the model's train/eval mode as they were.
    """
    was_training = model.training
    accuracies = []
    model.eval()
    with randomness_kept():
        for experience in experiences:
            right = torch.zeros((), dtype=torch.int64, device=device)
            for x, y, *_ in in_order(experience.dataset.eval(), batch_size, workers, device):
                right += (model(x.to(device)).argmax(dim=1) == y.to(device)).sum()
            accuracies.append(int(right) / len(experience.dataset))
    model.train(was_training)
    return accuracies
