"""Measures the images per second of a run's training steps, with its own GPU options and with others."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from clearctl.config.settings import Settings
from clearctl.data.stream import Bucket, Samples, Stream
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.compute_options import ComputeOption, other_options
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.run.few_batches import evenly_spaced, turns, with_epochs
from clearctl.progress import Counted, EpochDone, Listener, ignore
from clearctl.strategies.build import needs_whole_buckets
from clearctl.wording import first_line

STEPS = 5  # of an epoch; the last of a few epochs is timed


@dataclass(frozen=True)
class StepSpeed:
    """What training steps make with one option; `gain` is how many times the images per second of the config's own.

    `arguments` ask `clearctl train` for it. Where it fails, `fault` says why, and there are no numbers.
    """

    name: str
    arguments: str
    images_per_s: float | None
    gain: float | None = None
    fault: str | None = None


def compare_step_speeds(
    settings: Settings, stream: Stream, device: torch.device, listener: Listener
) -> tuple[StepSpeed, ...]:
    """Time training steps on the images of one batch, with the config's own option, which comes first, and with others.

    The steps are the strategy's own, on decoded images in memory. Each option has its own network, strategy and random
    numbers, from the same start. All of them are discarded; `applied` restores TF32's switches. A network that is to be
    compiled is timed uncompiled. Empty on a CPU, for features, and for strategies that split buckets.
    """
    others = other_options(settings, device)
    if stream.feature_dim is not None or needs_whole_buckets(settings.strategy) or not others:
        return ()
    timed = replace(
        settings,
        strategy=with_epochs(settings.strategy, 2),
        data=replace(settings.data, loader="auto", cache="ram", workers=0),
        compute=replace(settings.compute, compile=False),
        stop_on_divergence=False,
    )
    short = replace(stream, buckets=_shortened(stream.buckets, settings.strategy.train_mb_size))
    samples = build_samples(timed, short, device, ignore)
    speeds: list[StepSpeed] = []
    own = ComputeOption.of(settings.compute)
    for option in (own, *others):
        speeds.append(_speed(timed, option, short, samples, device))
        listener(Counted("measure training steps", len(speeds), 1 + len(others), "options"))
    plain = speeds[0].images_per_s
    return tuple(
        replace(each, gain=each.images_per_s / plain if each.images_per_s and plain else None) for each in speeds
    )


def _speed(
    settings: Settings, option: ComputeOption, stream: Stream, samples: BuiltSamples, device: torch.device
) -> StepSpeed:
    """Without its gain."""
    chosen = replace(settings, compute=replace(settings.compute, **option.values))
    try:
        return StepSpeed(option.name, option.arguments, _images_per_s(chosen, stream, samples, device))
    except Exception as error:  # an operation that a user's network has for float32 alone, memory
        return StepSpeed(option.name, option.arguments, None, fault=first_line(error))
    finally:
        gc.collect()  # a strategy and its plugins know each other
        torch.cuda.empty_cache()


def _images_per_s(settings: Settings, stream: Stream, samples: BuiltSamples, device: torch.device) -> float:
    """Of the last epoch, which ends when the device has done all of it."""
    seed_everything(settings.seed)
    model = build_model(settings, stream, ignore)
    epochs: list[EpochDone] = []
    experiment = build_experiment(
        settings, stream, model, device, run=None, on_epoch=lambda done, lr: epochs.append(done), samples=samples
    )
    for learned, _ in turns(experiment):
        experiment.strategy.train(learned, eval_streams=[], num_workers=0)
    return epochs[-1].num_samples / epochs[-1].seconds


def _shortened(buckets: Sequence[Bucket], batch_size: int) -> tuple[Bucket, ...]:
    """The first two with `STEPS` batches of the images of one, the others, which are not learned, with one image."""
    first = [replace(bucket, train=_repeated(bucket.train, batch_size)) for bucket in buckets[:2]]
    rest = [replace(bucket, train=evenly_spaced(bucket.train, 1)) for bucket in buckets[2:]]
    return tuple(replace(bucket, test=evenly_spaced(bucket.test, 1)) for bucket in (*first, *rest))


def _repeated(samples: Samples, batch_size: int) -> Samples:
    batch = evenly_spaced(samples, batch_size)
    return batch.subset(list(range(len(batch))) * STEPS)
