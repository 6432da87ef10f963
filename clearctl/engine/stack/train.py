"""Trains several runs as one batched model, each with its own run folder."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from clearctl.config.fill import fill
from clearctl.config.load import Config
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import Settings
from clearctl.data.samples import FeatureSamples
from clearctl.data.stream import Stream
from clearctl.engine.build.accelerate import allow_tf32
from clearctl.engine.build.config import open_run_config
from clearctl.engine.gpu import free_bytes
from clearctl.engine.machine import current_device, deterministic_algorithms, resolve_device
from clearctl.engine.run.loop import bucket_done, write_bucket
from clearctl.engine.run.stopping import StopRequest, catch_stop_signals
from clearctl.engine.run.train import TrainResult, report_unwritable, write_report
from clearctl.engine.stack.captured import is_captured
from clearctl.engine.stack.features import Features
from clearctl.engine.stack.key import stack_key, why_not
from clearctl.engine.stack.learner import Learner
from clearctl.engine.stack.member import Member
from clearctl.engine.stack.opening import BegunRuns, NewRuns, Runs
from clearctl.errors import Stopped, UsageError
from clearctl.progress import Event, Listener, Message
from clearctl.strategies.patches import applied
from clearctl.strategies.registry import argument
from clearctl.strategies.traits import traits_of

CPU_BYTES = 1 << 30  # for the runs of a stack, in addition to the features
GPU_SHARE = 0.5  # of the free memory when a stack starts
_Grouped = TypeVar("_Grouped")  # members, or groups of them
BATCHES_HELD = 3  # the batch itself, intermediate results, and the allocator


@applied()
def train_stack(
    configs: Sequence[Config], *, device: str, sources: Sequence[str], listeners: Sequence[Listener]
) -> list[TrainResult]:
    """Train runs with equal `stack_key` as one; the results are in the order of `configs`.

    Each run has a run folder in its work_dir, with the files of a run that was trained alone. `sources` are the config
    files, and listeners[i] is notified of run i. If not all runs fit into memory at once, they are trained in parts.
    Accuracies are those of runs trained alone, except for floating-point rounding.
    A state is saved at the start of each bucket: runs that are stopped or killed can be resumed by `resume_stack`, or
    each alone by `resume`. `seconds` are those of the whole stack.
    Raises UsageError for runs that cannot be stacked, and what `train` raises.
    """
    runs = [fill(config) for config in configs]
    _require_alike(runs)
    return _train_in_parts(NewRuns(runs, sources), device, listeners)


@applied()
def resume_stack(folders: Sequence[Path], *, device: str, listeners: Sequence[Listener]) -> list[TrainResult]:
    """Resume runs with the same `starting_bucket` as one stack; see `train_stack`.

    If they are the runs that were trained together, they end as if they had not been stopped.
    Raises UsageError for runs that cannot be stacked, RunError if one is no longer at that bucket, and what `resume`
    raises.
    """
    runs = [fill(open_run_config(folder, work_dir=folder.parent)) for folder in folders]
    _require_alike(runs)
    return _train_in_parts(BegunRuns(runs, folders), device, listeners)


def _require_alike(runs: Sequence[Settings]) -> None:
    for settings in runs:
        if stack_key(settings) is None or stack_key(settings) != stack_key(runs[0]):
            reason = why_not(settings) or "its settings differ from those of the others"
            raise UsageError(f"{settings.config.file} cannot be trained in one stack with the others: {reason}")


def _train_in_parts(given: Runs, device: str, listeners: Sequence[Listener]) -> list[TrainResult]:
    target = resolve_device(device)
    results = []
    with current_device(target):
        most = largest_stack(given.runs[0], target)
        for start in range(0, len(given.runs), most):
            part = slice(start, start + most)
            results += _train(given.part(part), target, listeners[part])
    return results


def largest_stack(settings: Settings, device: torch.device) -> int:
    """The number of runs with `settings` that fit into memory at once, in addition to the features; at least 1."""
    room = free_bytes(device) * GPU_SHARE if device.type == "cuda" else CPU_BYTES
    return max(1, int(room // bytes_a_run(settings)))


def bytes_a_run(settings: Settings) -> int:
    """Memory that a run takes in a stack: a batch of float32, and its weights with gradients and states."""
    strategy, head = settings.strategy, settings.model.head
    assert head is not None, "it could not be stacked"
    learned = strategy.train_mb_size
    traits = traits_of(strategy.call.type)
    if traits.replaces_loader:  # by one with a memory
        learned += argument(strategy.call, "batch_size_mem") or learned
    if traits.samples_every_bucket:
        learned = max(learned, argument(strategy.call, "sample_size"))
    inputs, classes = head.arguments["in_channels"], head.arguments["num_classes"]
    batch = max(learned, strategy.eval_mb_size or strategy.train_mb_size) * inputs * 4
    weights = classes * (inputs + 1) * 4
    return int(BATCHES_HELD * batch + 32 * weights)  # gradient, momentum, importances of ten buckets, ...


def _train(given: Runs, device: torch.device, listeners: Sequence[Listener]) -> list[TrainResult]:
    """Train a stack that fits."""
    started = time.perf_counter()
    compute, data = given.runs[0].compute, given.runs[0].data
    allow_tf32(compute.tf32, device)

    def report_to_all(event: Event) -> None:
        for listener in listeners:
            listener(event)

    if data.graph == "auto" and not is_captured(data, device):
        report_to_all(Message(f"data.graph='auto' has no effect on the {device.type.upper()}: CUDA graphs need a GPU"))
    with ExitStack() as ends:
        ends.enter_context(deterministic_algorithms(compute.deterministic, device, report_to_all))
        members = given.open(device, listeners, ends)
        with (
            _stopped_at_once(),
            catch_stop_signals(report_to_all) as stop_request,
            report_unwritable(members[0].run),
        ):
            _learn_all(members, device, stop_request)
        for member in members:
            member.remove_states()
            write_report(member.run, member.listener)
    seconds = time.perf_counter() - started
    return [
        TrainResult(
            member.run,
            member.stream.bucket_names,
            member.results.matrix,
            member.results.numbers(),
            seconds,
            member.results.diverged,
            on_training_images(member.settings.config.values),
        )
        for member in members
    ]


def _learn_all(members: Sequence[Member], device: torch.device, stop_request: StopRequest) -> None:
    """Train on one bucket after another, as `TrainingLoop` does for one run."""
    everything = list(_grouped_by_features(members, device))
    first = members[0].first_bucket
    for features, group in everything if first is None else ():
        for part in _grouped(group, lambda member: member.tested_sizes):
            for member, tested in zip(part, _tested(Learner(part, features), part), strict=True):
                member.results.untrained = [
                    sum(batch.right for batch in batches) / sum(batch.size for batch in batches) for batches in tested
                ]

    def stop_if_requested() -> None:
        if stop_request.signum is not None:
            raise Stopped("stopped; the current bucket will be trained again", stop_request.signum)

    for number in range(first or 0, len(members[0].test_stream)):
        started = time.perf_counter()
        for member in members:
            if number != first:
                member.save_state(number)
            member.begin_bucket(number)
        for features, group in everything:
            for sharing, part in _sharing_batches(group):
                learner = Learner(part, features, sharing)
                learner.learn(part[0].experiment.strategy.train_epochs, stop_if_requested)
                for member, tested in zip(part, _tested(learner, part), strict=True):
                    member.end_bucket(tested)
        for member in members:
            interval = member.settings.checkpoints.interval
            write_bucket(member.run, member.results, member.experiment.strategy.model, interval)
            member.listener(bucket_done(member.results, time.perf_counter() - started, member.settings))


def _tested(learner: Learner, members: Sequence[Member]) -> list[list[Any]]:
    """The results of the batches, for each member and each bucket of its test stream."""
    size = members[0].experiment.strategy.eval_mb_size
    buckets = [learner.test(rows, size) for rows in zip(*(member.test_rows for member in members), strict=True)]
    return [list(found) for found in zip(*buckets, strict=True)]


def _grouped(members: Sequence[_Grouped], key: Callable[[_Grouped], Any]) -> list[list[_Grouped]]:
    """Groups with equal keys, in the given order."""
    groups: dict[Any, list[_Grouped]] = {}
    for member in members:
        groups.setdefault(key(member), []).append(member)
    return list(groups.values())


def _sharing_batches(members: Sequence[Member]) -> Iterator[tuple[int, list[Member]]]:
    """Members that are trained on this bucket as one, and how many consecutive ones share batches."""
    for part in _grouped(members, Member.shape):
        for groups in _grouped(_grouped(part, Member.draws), len):
            yield len(groups[0]), [member for group in groups for member in group]


def _grouped_by_features(members: Sequence[Member], device: torch.device) -> Iterator[tuple[Features, list[Member]]]:
    """Members whose streams have the same feature matrix: all, unless the files changed in between."""

    def matrix(stream: Stream) -> int:
        part = stream.buckets[0].train
        assert isinstance(part, FeatureSamples)
        return id(part.x)

    for group in _grouped(members, lambda member: matrix(member.stream)):
        yield Features(group[0].stream, device, cosine=group[0].temperature is not None), group


@contextmanager
def _stopped_at_once() -> Iterator[None]:
    """A second Ctrl-C."""
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        raise Stopped("stopped at once", signal.SIGINT) from None
