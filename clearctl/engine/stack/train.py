"""Training several runs as one batched model, each with a run folder as if it had run alone."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from clearctl import rundir
from clearctl.config.load import Config
from clearctl.config.protocol import on_training_images
from clearctl.config.settings import ScenarioSettings, Settings, fill
from clearctl.data.samples import FeatureSamples
from clearctl.data.stream import Stream
from clearctl.distributed.randomness import random_states, seed_everything, set_random_states
from clearctl.engine.build.accelerate import allow_tf32
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.build.strategy_fit import require_strategy_fit
from clearctl.engine.build.stream import benchmark_of, build_stream
from clearctl.engine.machine import current_device, describe, deterministic_algorithms, resolve_device
from clearctl.engine.run.inputs import named_contents
from clearctl.engine.run.loop import bucket_done, write_bucket
from clearctl.engine.run.stopping import StopRequest, catch_stop_signals
from clearctl.engine.run.train import TrainResult, open_run, report_unwritable, run_lock, write_report
from clearctl.engine.stack.captured import is_captured
from clearctl.engine.stack.features import Features
from clearctl.engine.stack.key import stack_key, why_not
from clearctl.engine.stack.learner import Learner
from clearctl.engine.stack.member import Member
from clearctl.errors import CapabilityError, Stopped, UsageError
from clearctl.progress import Event, Listener, Message
from clearctl.strategies.patches import applied
from clearctl.strategies.registry import argument
from clearctl.strategies.strategy import Benchmark
from clearctl.strategies.traits import traits_of

CPU_BYTES = 1 << 30  # for what the runs of a stack hold at once, beside the features
GPU_SHARE = 0.5  # of the memory that is free when a stack begins
_CPU = torch.device("cpu")  # where everything is but the arithmetic
BATCHES_HELD = 3  # the batch itself, and about as much again for what is worked out from it and for the allocator


@applied()
def train_stack(
    configs: Sequence[Config], *, device: str, sources: Sequence[str], listeners: Sequence[Listener]
) -> list[TrainResult]:
    """Train runs with equal `stack_key` as one; the results are in the order of `configs`.

    Each has a run folder of its own in its work_dir, with the files of a run that was alone. `sources` are the config
    files that they came from, and listeners[i] is notified of run i. Where they do not all fit into memory at once, as
    many as do are trained together. Accuracies are those of runs alone but for the rounding of floats.
    There are no states on the way: of runs that are stopped or killed nothing is kept but what is in their folders,
    and each starts over on `resume`. `seconds` are those of the whole stack.
    Raises UsageError for runs that cannot be stacked, and what `train` raises.
    """
    runs = [fill(config) for config in configs]
    for settings in runs:
        if stack_key(settings) is None or stack_key(settings) != stack_key(runs[0]):
            reason = why_not(settings) or "it is not like the others"
            raise UsageError(f"{settings.config.file} cannot be trained in one stack with the others: {reason}")
    target = resolve_device(device)
    results = []
    with current_device(target):
        most = largest_stack(runs[0], target)
        for start in range(0, len(runs), most):
            part = slice(start, start + most)
            results += _train(runs[part], target, sources[part], listeners[part])
    return results


def largest_stack(settings: Settings, device: torch.device) -> int:
    """How many runs with `settings` fit into memory at once, beside the features; at least 1."""
    room = torch.cuda.mem_get_info(device)[0] * GPU_SHARE if device.type == "cuda" else CPU_BYTES
    return max(1, int(room // bytes_a_run(settings)))


def bytes_a_run(settings: Settings) -> int:
    """What a run takes in a stack: a batch of float32, and its weights with all that is kept beside them."""
    strategy, head = settings.strategy, settings.model.head
    assert head is not None, "it could not be stacked"
    learned = strategy.train_mb_size
    if traits_of(strategy.call.type).replaces_loader:  # by one with a memory
        learned += argument(strategy.call, "batch_size_mem") or learned
    inputs, classes = head.arguments["in_channels"], head.arguments["num_classes"]
    batch = max(learned, strategy.eval_mb_size or strategy.train_mb_size) * inputs * 4
    weights = classes * (inputs + 1) * 4
    return int(BATCHES_HELD * batch + 32 * weights)  # gradient, momentum, importances of ten buckets, ...


def _train(
    runs: Sequence[Settings], device: torch.device, sources: Sequence[str], listeners: Sequence[Listener]
) -> list[TrainResult]:
    """Train a stack that fits."""
    started = time.perf_counter()
    compute = runs[0].compute
    allow_tf32(compute.tf32, device)

    def report_to_all(event: Event) -> None:
        for listener in listeners:
            listener(event)

    if runs[0].data.graph == "auto" and not is_captured(runs[0].data, device):
        report_to_all(Message(f"data.graph='auto' plays no part on the {device.type.upper()}: CUDA graphs need a GPU"))
    with ExitStack() as ends:
        ends.enter_context(deterministic_algorithms(compute.deterministic, device, report_to_all))
        members = _open_members(runs, device, sources, listeners, ends)
        with (
            _stopped_at_once(),
            catch_stop_signals(report_to_all) as stop_request,
            report_unwritable(members[0].run),
        ):
            _learn_all(members, device, stop_request)
        for member in members:
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


@dataclass(frozen=True)
class _Data:
    """What runs with one scenario share: the stream, as it is read, its benchmark, and what is said of it."""

    stream: Stream
    samples: BuiltSamples
    benchmark: Benchmark
    environment: dict[str, Any]

    @classmethod
    def read(cls, settings: Settings, device: torch.device, listener: Listener) -> "_Data":
        stream = build_stream(settings.scenario, settings.data, listener, device)
        if stream.is_mapped:
            raise CapabilityError(
                "the features do not fit in memory, where a stack holds them\n"
                "leave out --stack: each run then gathers its batches from the files"
            )
        samples = build_samples(settings, stream, _CPU, listener)
        described = stream.describe(settings.scenario.dataset_root)
        return cls(stream, samples, benchmark_of(settings.scenario, samples), describe(device, described, 0))


def _open_members(
    runs: Sequence[Settings],
    device: torch.device,
    sources: Sequence[str],
    listeners: Sequence[Listener],
    ends: ExitStack,
) -> list[Member]:
    """The runs, opened; `ends` closes what holds their folders and files. Where one fails, no folder is left."""
    data: list[tuple[ScenarioSettings, _Data]] = []
    built = []
    for settings, listener in zip(runs, listeners, strict=True):
        shared = next((found for scenario, found in data if scenario == settings.scenario), None)
        if shared is None:
            shared = _Data.read(settings, device, listener)
            data.append((settings.scenario, shared))
        seed_everything(settings.seed)
        model = build_model(settings, shared.stream, listener)
        require_strategy_fit(settings, shared.stream, model, listener)
        built.append((shared, model, random_states()))
    members: list[Member] = []
    try:
        for settings, source, listener, (shared, model, states) in zip(runs, sources, listeners, built, strict=True):
            environment = {
                **shared.environment,
                "seed": settings.seed,
                "config": source,
                **named_contents(settings.config.values),
                "stacked": len(runs),
                **({"graph": True} if is_captured(settings.data, device) else {}),
            }
            run = rundir.create(settings.work_dir, settings.seed)
            ends.enter_context(run_lock(run))
            set_random_states(states)
            experiment = open_run(
                settings, shared.stream, model, _CPU, run, shared.samples, environment, listener, shared.benchmark
            )
            for logger in experiment.run_loggers:
                ends.callback(logger.close)
            ends.callback(experiment.strategy.evaluator.flush)
            members.append(Member(settings, experiment, shared.stream, run, listener, random_states()))
    except BaseException:
        for member in members:
            shutil.rmtree(member.run)
        raise
    return members


def _learn_all(members: Sequence[Member], device: torch.device, stop_request: StopRequest) -> None:
    """Bucket after bucket, as `TrainingLoop` does for one run."""
    everything = list(_grouped_by_features(members, device))
    for features, group in everything:
        for part in _grouped(group, lambda member: member.tested_sizes):
            for member, tested in zip(part, _tested(Learner(part, features), part), strict=True):
                member.results.untrained = [
                    sum(batch.right for batch in batches) / sum(batch.size for batch in batches) for batches in tested
                ]

    def stop_if_requested() -> None:
        if stop_request.signum is not None:
            raise Stopped("stopped, nothing of a stack is saved on the way", stop_request.signum)

    for number in range(len(members[0].test_stream)):
        started = time.perf_counter()
        for member in members:
            member.begin_bucket(number)
        for features, group in everything:
            for part in _grouped(group, lambda member: member.shape()):
                learner = Learner(part, features)
                learner.learn(part[0].experiment.strategy.train_epochs, stop_if_requested)
                for member, tested in zip(part, _tested(learner, part), strict=True):
                    member.end_bucket(tested)
        for member in members:
            interval = member.settings.checkpoints.interval
            write_bucket(member.run, member.results, member.experiment.strategy.model, interval)
            member.listener(bucket_done(member.results, time.perf_counter() - started, member.settings))


def _tested(learner: Learner, members: Sequence[Member]) -> list[list[Any]]:
    """For each member and each bucket of its test stream, what the batches gave."""
    size = members[0].experiment.strategy.eval_mb_size
    buckets = [learner.test(rows, size) for rows in zip(*(member.test_rows for member in members), strict=True)]
    return [list(found) for found in zip(*buckets, strict=True)]


def _grouped(members: Sequence[Member], key: Callable[[Member], Any]) -> list[list[Member]]:
    """The members with equal keys together, in their order."""
    groups: dict[Any, list[Member]] = {}
    for member in members:
        groups.setdefault(key(member), []).append(member)
    return list(groups.values())


def _grouped_by_features(members: Sequence[Member], device: torch.device) -> Iterator[tuple[Features, list[Member]]]:
    """Members whose streams read one matrix, which they all do unless its files change meanwhile."""

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
