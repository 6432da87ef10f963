"""Testing: the accuracy of weights on every bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clearctl import rundir
from clearctl.config.fill import fill
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import Settings
from clearctl.config.shipped import is_config
from clearctl.data.samples import original_error
from clearctl.distributed import world
from clearctl.distributed.randomness import preserve_random_states, seed_everything
from clearctl.distributed.world import detect_lost_peers, process_group
from clearctl.engine.build.config import open_config, open_run_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import build_samples, loader_arguments
from clearctl.engine.build.sharing import require_shareable
from clearctl.engine.build.stream import build_stream
from clearctl.engine.machine import current_device, deterministic_algorithms, resolve_device
from clearctl.engine.run.submission import checkpoint_files, require_one_each
from clearctl.engine.states.checkpoint import load_exactly, read_exactly
from clearctl.errors import CapabilityError, DatasetError, RunError, UsageError
from clearctl.metrics import Matrix, Summary, compute_numbers
from clearctl.named_run import require_run
from clearctl.nearby import nearby_file
from clearctl.progress import Listener, Message, ignore
from clearctl.shortage import shortage
from clearctl.strategies.loading.gather import in_order
from clearctl.strategies.patches import applied
from clearctl.strategies.strategy import Experience
from clearctl.wording import few


@dataclass(frozen=True, repr=False)
class EvalResult(Summary):
    """Accuracies: one row [N] for each checkpoint, in the order of `checkpoints`.

    `matrix` R [N, N] and its numbers are known if a run, or a folder, has a checkpoint of every bucket.
    `on_training_images` are the names of those that have accuracies on images that were trained on.
    """

    bucket_names: list[str]
    checkpoints: list[Path]
    rows: list[list[float]]
    matrix: Matrix | None
    numbers: dict[str, float]
    on_training_images: frozenset[str] = frozenset()

    def _repr_html_(self) -> str:
        from clearctl.report.notebook import matrix_html

        is_whole = self.matrix is not None
        names = self.bucket_names if is_whole else [file.stem for file in self.checkpoints]
        return matrix_html(np.array(self.rows), names, self.bucket_names, self.numbers, self.on_training_images)


@applied()
def evaluate(
    target: Path | str,
    *,
    checkpoint: Path | str | None = None,
    checkpoints: Path | str | None = None,
    device: str = "auto",
    dataset_root: Path | str | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = ignore,
) -> EvalResult:
    """Test a run folder's checkpoints on every bucket of its stream, or others of its model, or of a config's.

    Args:
        target: a run folder, or a config with `checkpoint` or `checkpoints`.
        checkpoint: a file to test instead of the run's own.
        checkpoints: a folder of files to test instead, one for each bucket in the order of the numbers in their names,
            as CLEAR's challenge takes them (`submission`).
        device: where: "auto", "cpu", "cuda" or "cuda:N".
        dataset_root: the dataset folder, instead of the config's.
        overrides: "key.path=value", applied to the config in order.
        listener: notified of progress.

    Under torchrun every process calls it, and they share the work.
    Writes nothing but decoded images, where `data.cache` has them kept. Raises UsageError for a config without weights
    and for both kinds of them; RunError for a folder that is not a run, a checkpoint that is damaged or not of the
    model, and `checkpoints` that are not one for each bucket. Weights that are not finite are refused where they are
    named; the run's own are tested, with a warning.
    """
    if checkpoint is not None and checkpoints is not None:
        raise UsageError("--checkpoint is one file, --checkpoints a folder of files: give one of them")
    named = checkpoint if checkpoint is not None else checkpoints
    target = Path(target)
    if target.is_dir():
        if not rundir.is_run(target) and any(target.glob("*.pth")):
            raise RunError(
                f"{target} is not a run folder: it has no config.py and environment.json\n"
                f"to test the checkpoints in it: clearctl eval CONFIG --checkpoints {target}"
            )
        require_run(target)
        found = rundir.checkpoints(target)
        if not found and named is None:
            raise RunError(f"{target} has no checkpoints yet: expected checkpoints/exp_<k>.pth")
    else:
        found = {}
        if not is_config(target):
            raise RunError(f"no run folder or config at {target}{nearby_file(target)}")
        if named is None:
            raise UsageError(
                f"{target} is a config: give the weights to test with --checkpoint FILE, or --checkpoints DIR"
            )
    opened = open_run_config if target.is_dir() else open_config
    config = opened(target, overrides=tuple(overrides), dataset_root=dataset_root)
    settings = fill(config)
    require_shareable(settings.strategy)
    torch_device = resolve_device(device)
    if checkpoint is not None and Path(checkpoint).is_dir():
        raise RunError(f"{checkpoint} is a folder: use --checkpoints DIR to test its checkpoints, one for each bucket")
    if checkpoints is not None:
        found = dict(enumerate(checkpoint_files(Path(checkpoints)), 1))
    files = [Path(checkpoint)] if checkpoint is not None else list(found.values())
    listening = listener if world.is_first() else ignore
    deterministic = deterministic_algorithms(settings.compute.deterministic, torch_device, listening)
    with current_device(torch_device), detect_lost_peers(), process_group(torch_device), deterministic:
        rows, names = _rows(
            settings, files, torch_device, listening, one_each=checkpoints is not None, of_run=named is None
        )
    complete = checkpoint is None and list(found) == list(range(1, len(names) + 1))
    matrix = np.array(rows) if complete else None
    return EvalResult(
        names,
        files,
        rows,
        matrix,
        compute_numbers(matrix, added=False) if matrix is not None else {},
        on_training_images(config.values, of_matrix=True),
    )


def _rows(
    settings: Settings,
    files: Sequence[Path],
    torch_device: torch.device,
    listener: Listener,
    *,
    one_each: bool,
    of_run: bool,
) -> tuple[list[list[float]], list[str]]:
    """The accuracies of each checkpoint on every bucket, and the buckets' names.

    With `one_each` there must be one checkpoint for each bucket, and all must fit before the first is tested. Those
    `of_run`, which has diverged, are tested as they are: their accuracies are what the run has recorded.
    """
    seed_everything(settings.seed)
    stream = build_stream(settings.scenario, settings.data, ignore, torch_device)
    if one_each:
        require_one_each(files, stream.bucket_names)
    model = build_model(settings, stream, listener, first_weights=False)
    samples = build_samples(settings, stream, torch_device, listener, training=False)
    experiment = build_experiment(settings, stream, model, torch_device, run=None, listener=listener, samples=samples)
    loading = loader_arguments(settings.data, stream)
    test_stream = list(experiment.benchmark.test_stream)
    for weights in files if one_each else []:
        read_exactly(experiment.strategy.model, weights)
    rows = []
    try:
        for weights in files:
            diverged = partial(_warn_of_diverged, weights, listener) if of_run else None
            load_exactly(experiment.strategy.model, weights, diverged=diverged)
            listener(Message(f"testing {weights}"))
            experiment.strategy.eval(test_stream, **loading)
            rows.append([experiment.accuracy.accuracies[tested] for tested in range(len(stream.buckets))])
    except (DatasetError, CapabilityError, RuntimeError, MemoryError, OSError) as error:
        raise original_error(error) or shortage(error) or error from None
    return rows, stream.bucket_names


def _warn_of_diverged(file: Path, listener: Listener, names: list[str]) -> None:
    text = f"{file} has weights that are not finite: {few(names)}; the run diverged, its accuracies are at chance level"
    listener(Message(text, warning=True))


@torch.no_grad()
def model_accuracies(
    model: nn.Module, experiences: Iterable[Experience], device: torch.device, batch_size: int, workers: int
) -> list[float]:
    """The accuracy of `model` alone on the test set of each experience, in order.

    Leaves every random generator and the model's train/eval mode as they were.
    """
    was_training = model.training
    accuracies = []
    model.eval()
    with preserve_random_states():
        for experience in experiences:
            right = torch.zeros((), dtype=torch.int64, device=device)
            for x, y, *_ in in_order(experience.dataset.eval(), batch_size, workers, device):
                right += (model(x.to(device)).argmax(dim=1) == y.to(device)).sum()
            accuracies.append(int(right) / len(experience.dataset))
    model.train(was_training)
    return accuracies
