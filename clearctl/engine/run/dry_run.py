"""Build everything that a run needs, train and test on one batch, and estimate the whole run."""

import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clearctl.config.fill import fill
from clearctl.config.load import Config
from clearctl.config.settings import Call, Settings
from clearctl.data.samples import original_error
from clearctl.data.stream import Bucket, Stream
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import loader_arguments
from clearctl.engine.build.strategy_fit import require_strategy_fit
from clearctl.engine.build.stream import build_stream
from clearctl.engine.machine import current_device, deterministic_algorithms, resolve_device
from clearctl.engine.run.few_batches import evenly_spaced, turns, with_epochs
from clearctl.engine.run.step_speed import StepSpeed, compare_step_speeds
from clearctl.errors import CapabilityError, DatasetError
from clearctl.progress import EpochDone, Listener, ignore
from clearctl.shortage import shortage
from clearctl.strategies.build import needs_whole_buckets, trains_on_whole_stream
from clearctl.strategies.patches import applied


@dataclass(frozen=True)
class DryRunResult:
    """A summary of a run to be: sizes, and an estimate of its time from one measured batch of each kind.

    `seconds` counts what the strategy itself does in a batch; what it does between buckets is not in it.
    `memory_bytes` is the most that this process has held so far, on the device if that is a GPU. `speeds` are those of
    training steps on images on a GPU, with the config's own options first (`step_speed`).
    """

    buckets: list[str]
    train_samples: int
    test_samples: int
    parameters: int
    trained_parameters: int
    train_batch_s: float
    test_batch_s: float
    seconds: float
    memory_bytes: int
    speeds: tuple[StepSpeed, ...] = ()
    validation_samples: int = 0


def dry_run(
    config: Path | str,
    *,
    device: str = "auto",
    seed: int | None = None,
    dataset_root: Path | str | None = None,
    overrides: Sequence[str] = (),
    listener: Listener = ignore,
) -> DryRunResult:
    """Build everything, learn one batch and test one, twice, and leave nothing on disk. Raises what `train` raises.

    On a GPU, steps on images are then timed with other options of the device too.
    """
    opened = open_config(config, overrides=tuple(overrides), seed=seed, dataset_root=dataset_root)
    return dry_run_config(opened, device=device, listener=listener, compares_speeds=True)


@applied()
def dry_run_config(
    opened: Config, *, device: str, listener: Listener = ignore, compares_speeds: bool = False
) -> DryRunResult:
    """`dry_run` with a config that `open_config` returned; other options are timed if it `compares_speeds`."""
    settings = fill(opened)
    target = resolve_device(device)
    with current_device(target), deterministic_algorithms(settings.compute.deterministic, target, listener):
        seed_everything(settings.seed)
        stream = build_stream(settings.scenario, settings.data, ignore, target)
        result = _measured(settings, stream, target, listener)
        if not compares_speeds:
            return result
        return replace(result, speeds=compare_step_speeds(settings, stream, target, listener))


def _measured(settings: Settings, stream: Stream, target: torch.device, listener: Listener) -> DryRunResult:
    model = build_model(settings, stream, listener)
    require_strategy_fit(settings, stream, model, listener)
    parameters = list(model.parameters())
    epochs = settings.strategy.train_epochs
    with tempfile.TemporaryDirectory() as folder:
        first = _one_batch(settings, stream, model, target, Path(folder))
    train_batches = sum(-(-len(bucket.train) // first.train_size) for bucket in stream.buckets)
    test_batches = sum(-(-len(part) // first.test_size) for bucket in stream.buckets for part in bucket.parts[1:])
    seconds = train_batches * epochs * first.train_s + (len(stream.buckets) + 1) * test_batches * first.test_s
    return DryRunResult(
        buckets=stream.bucket_names,
        train_samples=sum(len(bucket.train) for bucket in stream.buckets),
        test_samples=sum(len(bucket.test) for bucket in stream.buckets),
        parameters=sum(parameter.numel() for parameter in parameters),
        trained_parameters=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        train_batch_s=first.train_s,
        test_batch_s=first.test_s,
        seconds=seconds,
        memory_bytes=_peak_memory(target),
        validation_samples=sum(len(bucket.validation) for bucket in stream.buckets if bucket.validation is not None),
    )


@dataclass(frozen=True)
class _MeasuredBatch:
    train_size: int
    test_size: int
    train_s: float
    test_s: float


def _one_batch(
    settings: Settings, stream: Stream, model: torch.nn.Module, device: torch.device, folder: Path
) -> _MeasuredBatch:
    """Time the second of two turns: the first warms up what is allocated and compiled at first use."""
    strategy = settings.strategy
    train_size = strategy.train_mb_size
    test_size = strategy.eval_mb_size or train_size
    whole = needs_whole_buckets(strategy)
    short = replace(
        stream, buckets=tuple(_shortened(bucket, None if whole else train_size, test_size) for bucket in stream.buckets)
    )
    quick = replace(
        settings,
        strategy=with_epochs(strategy, 1),
        loggers=tuple(_without_output(call) for call in settings.loggers),
        data=replace(settings.data, cache="off"),  # which would decode images that no step here needs
    )
    epochs: list[EpochDone] = []
    experiment = build_experiment(
        quick, short, model, device, run=folder, on_epoch=lambda done, lr: epochs.append(done)
    )
    loading = {**loader_arguments(quick.data, short), "num_workers": 0}
    test_s = 0.0
    try:
        for learned, tested in turns(experiment):
            experiment.strategy.train(learned, eval_streams=[], **loading)
            started = time.perf_counter()
            experiment.strategy.eval([tested], **loading)
            test_s = time.perf_counter() - started
    except (DatasetError, CapabilityError, RuntimeError, MemoryError, OSError) as error:
        raise original_error(error) or shortage(error) or error from None
    finally:
        for logger in experiment.run_loggers:
            logger.close()
    # Joint training has a batch of every bucket in its epoch, and a strategy that needs whole buckets all of one.
    at_once = trains_on_whole_stream(experiment.strategy)
    counted = short.buckets if at_once else [short.buckets[min(1, len(stream.buckets) - 1)]]
    batches = sum(-(-len(bucket.train) // train_size) for bucket in counted)
    return _MeasuredBatch(train_size, test_size, epochs[-1].seconds / batches if epochs else 0.0, test_s)


def _without_output(logger: Call) -> Call:
    """A logger that leaves nothing behind: W&B turned off, files in the temporary folder."""
    kept = logger.without("file", "log_folder", "tb_log_dir", "dir")
    if logger.type == "WandBLogger":
        kept = kept.having(params={**(logger.arguments.get("params") or {}), "mode": "disabled"})
    return kept


def _shortened(bucket: Bucket, train_size: int | None, test_size: int) -> Bucket:
    train = bucket.train if train_size is None else evenly_spaced(bucket.train, train_size)
    return replace(bucket.map(lambda part: evenly_spaced(part, test_size)), train=train)


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
