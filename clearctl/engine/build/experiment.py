"""Builds a strategy and all that it needs. No module below receives a config."""

import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.config.settings import ComputeSettings, Settings
from clearctl.data.stream import Stream
from clearctl.distributed import world
from clearctl.distributed.randomness import preserve_random_states
from clearctl.engine.build.accelerate import accelerate
from clearctl.engine.build.calls import building
from clearctl.engine.build.parts import StrategyParts, build_parts
from clearctl.engine.build.reporting import build_loggers, build_metrics
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.build.strategy_fit import require_fits_stream
from clearctl.engine.build.stream import benchmark_of
from clearctl.engine.divergence import Divergence
from clearctl.errors import RunError
from clearctl.models.parallel import share_passes
from clearctl.models.sync_bn import synchronised
from clearctl.progress import EpochDone, Listener, Message, ignore
from clearctl.strategies.answers import changes_answers
from clearctl.strategies.build import build_strategy
from clearctl.strategies.loading.gather import GatherBatches
from clearctl.strategies.loggers.run_logger import RunLogger
from clearctl.strategies.stepping.augment import mixing_fault
from clearctl.strategies.stepping.precision import scale_loss
from clearctl.strategies.strategy import Benchmark, Strategy
from clearctl.strategies.watching.anytime import AnytimeTests
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.observe import BucketAccuracy, OnEpoch, ProgressReporter


@dataclass
class Experiment:
    """Everything a run needs, built: `strategy` learns from and is tested on `benchmark`, made of `stream`."""

    strategy: Strategy
    benchmark: Benchmark
    accuracy: BucketAccuracy
    loggers: list[Any]
    divergence: Divergence
    anytime: AnytimeTests | None = None

    @property
    def run_loggers(self) -> list[RunLogger]:
        """The loggers that a run asks for more than Avalanche's callbacks."""
        return [logger for logger in self.loggers if isinstance(logger, RunLogger)]


def build_experiment(
    settings: Settings,
    stream: Stream,
    model: nn.Module,
    device: torch.device,
    *,
    run: Path | None,
    plugins: tuple[Any, ...] = (),
    listener: Listener = ignore,
    on_epoch: OnEpoch | None = None,
    samples: BuiltSamples | None = None,
    benchmark: Benchmark | None = None,
    resumed: bool = False,
    environment: Mapping[str, Any] | None = None,
) -> Experiment:
    """Strategy and benchmark. Without a `run` folder there are no metrics and loggers but the accuracy itself.

    `listener` is notified of the progress, and `on_epoch` of the end of each epoch, with its learning rate. `samples`
    are those of `stream`, and `benchmark` that of `samples`, if they have been built before. The loggers of a run that
    `resumed` keep existing output, and `environment` is what environment.json says of it.
    """
    require_fits_stream(settings, stream)
    model = _placed(model, settings.compute, device, listener)
    samples = samples or build_samples(settings, stream, device, listener)
    benchmark = benchmark or benchmark_of(settings.scenario, samples)
    parts = build_parts(settings, model, device)
    record = BatchRecord()
    accuracy = BucketAccuracy(record)
    divergence = Divergence(model, listener, stops=settings.stop_on_divergence)

    def epoch_done(done: EpochDone, lr: float) -> None:
        if on_epoch is not None:
            on_epoch(done, lr)
        divergence.epoch_done(done)

    watching = [accuracy, ProgressReporter(record, stream.bucket_names, listener, epoch_done), *plugins]
    if samples.gathered:
        watching.append(GatherBatches(lambda text: listener(Message(text, warning=True))))
    writes = run is not None and world.is_first()
    loggers = build_loggers(settings, run, resumed=resumed, environment=environment) if run and writes else []
    metrics = build_metrics(settings) if run else []
    again = build_metrics(settings) if run and settings.scenario.has_validation else []
    strategy = _build_strategy(settings, parts, model, device, metrics, loggers, watching, record, again)
    if settings.compute.precision == "fp16":
        scale_loss(strategy)
    anytime = _anytime_tests(settings, strategy, accuracy) if run else None
    return Experiment(strategy, benchmark, accuracy, loggers, divergence, anytime)


def _anytime_tests(settings: Settings, strategy: Strategy, accuracy: BucketAccuracy) -> AnytimeTests | None:
    every = settings.strategy.eval_every_steps
    return None if every is None else AnytimeTests.added_to(strategy, every, accuracy)


def require_buildable(settings: Settings, model: nn.Module) -> None:
    """Raise ConfigError, naming the key, for what cannot be built with `model`; nothing is kept and nothing written.

    Loggers, which write, are not built. `model` and the random generators stay as they are.
    """
    device = torch.device("cpu")
    with preserve_random_states():
        model = deepcopy(model).to(device)
        parts = build_parts(settings, model, device)
        _build_strategy(settings, parts, model, device, build_metrics(settings), [], [], BatchRecord())


def build_tested_model(settings: Settings, model: nn.Module, device: torch.device, listener: Listener) -> nn.Module:
    """`model` on the device as the strategy tests it, in eval mode: what the weights that a run saves are of.

    It answers what the run's tests answer once it has such weights. Raises RunError if a strategy or plugin changes
    the answers of a test by something that is not in them.
    """
    model = _placed(model, settings.compute, device, listener)
    parts = build_parts(settings, model, device)
    strategy = _build_strategy(settings, parts, model, device, [], [], [], BatchRecord())
    changing = changes_answers(strategy)
    if changing is not None:
        raise RunError(
            f"{changing} changes the network's outputs in tests by something outside its weights\n"
            "the weights alone do not reproduce the run's outputs: train with another strategy"
        )
    return strategy.model.eval()


def _build_strategy(
    settings: Settings,
    parts: StrategyParts,
    model: nn.Module,
    device: torch.device,
    metrics: list[Any],
    loggers: list[Any],
    watching: list[Any],
    record: BatchRecord,
    validation_metrics: Sequence[Any] = (),
) -> Strategy:
    call = settings.strategy.call
    with building(call.type, call.error), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No loggers specified")  # Avalanche's; a run may have none
        strategy = build_strategy(
            call.type,
            parts.arguments,
            model=model,
            optimizer=parts.optimizer,
            scheduler=parts.scheduler,
            loss=parts.loss,
            metrics=metrics,
            loggers=loggers,
            plugins=[*parts.plugins, *watching],
            record=record,
            device=device,
            validation_metrics=validation_metrics,
        )
    refusal = mixing_fault(strategy) if settings.model.augments else None
    if refusal:
        raise settings.error("model.train_cfg.augments", f"{call.type} {refusal}")
    return strategy


def _placed(model: nn.Module, compute: ComputeSettings, device: torch.device, listener: Listener) -> nn.Module:
    """`model` on the device, as it computes there, its passes shared if there are several processes."""
    model = model.to(device)
    if compute.sync_bn:
        model = synchronised(model)
    accelerate(compute, model, device, listener)
    if world.size() > 1:
        share_passes(model)
    return model
