"""A strategy and all that it needs, built. Below this module nobody receives a config."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl.config.load import Config
from clearctl.data.stream import Stream
from clearctl.distributed import world
from clearctl.engine.build.accelerate import accelerate
from clearctl.engine.build.calls import building, call, fault
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.parts import _takes_loss, build_augment, build_loss, build_schedule
from clearctl.engine.build.reporting import build_loggers, build_metrics
from clearctl.engine.build.samples import BuiltSamples, build_samples
from clearctl.engine.build.sharing import of_all_processes
from clearctl.engine.build.strategy_fit import _require_fits_stream
from clearctl.engine.build.stream import benchmark_of
from clearctl.engine.divergence import Divergence
from clearctl.models.parallel import share_passes
from clearctl.models.sync_bn import synchronised
from clearctl.progress import EpochDone, Listener, Message, ignore
from clearctl.strategies.build import build_strategy
from clearctl.strategies.loading.gather import GatherBatches
from clearctl.strategies.loggers.run_logger import RunLogger
from clearctl.strategies.stepping.augment import BatchAugment, SoftLabelLoss, mixing_fault
from clearctl.strategies.stepping.precision import scale_loss
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.observe import BucketAccuracy, OnEpoch, ProgressReporter


@dataclass
class Experiment:
    """Everything a run needs, built: `strategy` learns from and is tested on `benchmark`, made of `stream`."""

    strategy: Any
    benchmark: Any
    accuracy: BucketAccuracy
    loggers: list[Any]
    divergence: Divergence

    @property
    def run_loggers(self) -> list[RunLogger]:
        """The loggers that a run asks for more than Avalanche's callbacks."""
        return [logger for logger in self.loggers if isinstance(logger, RunLogger)]


def build_experiment(
    config: Config,
    stream: Stream,
    model: nn.Module,
    device: torch.device,
    *,
    run: Path | None,
    plugins: tuple[Any, ...] = (),
    listener: Listener = ignore,
    on_epoch: OnEpoch | None = None,
    samples: BuiltSamples | None = None,
    benchmark: Any | None = None,
    resumed: bool = False,
    wandb_id: str | None = None,
) -> Experiment:
    """Strategy and benchmark. Without a `run` folder there are no metrics and loggers but the accuracy itself.

    `listener` is notified of the progress, and `on_epoch` of the end of each epoch, with its learning rate. `samples`
    are those of `stream`, and `benchmark` that of `samples`, if they have been built before. The loggers of a run that
    `resumed` keep what is there.
    """
    section = dict(config.values["cl_strategy"])
    _require_fits_stream(config, stream)
    if world.size() > 1 and (config.values.get("data") or {}).get("batch_per_rank"):
        section = of_all_processes(section)
    model = model.to(device)
    if config.values.get("sync_bn"):
        model = synchronised(model)
    accelerate(config, model, device, listener)
    if world.size() > 1:
        share_passes(model)
    samples = samples or build_samples(config, stream, device, listener)
    benchmark = benchmark or benchmark_of(config, samples)
    optimizer = section.pop("optimizer", None)
    if optimizer is not None:
        optimizer = call(
            config,
            "cl_strategy.optimizer",
            CATALOGUE.optimizers,
            optimizer,
            params=[parameter for parameter in model.parameters() if parameter.requires_grad],
        )
    scheduler = section.pop("scheduler", None)
    if scheduler is not None:
        scheduler = build_schedule(config, scheduler, optimizer)
    if section.get("buffer") is not None:
        section["buffer"] = call(config, "cl_strategy.buffer", CATALOGUE.buffers, section["buffer"])
    loss = build_loss(config, model, device)
    section.pop("loss", None)
    own_plugins = [
        call(config, f"cl_strategy.plugins.{index}", CATALOGUE.plugins, entry)
        for index, entry in enumerate(section.pop("plugins", []))
    ]
    augment = build_augment(config, stream)
    if augment is not None and _takes_loss(config):
        loss = SoftLabelLoss(nn.CrossEntropyLoss() if loss is None else loss)
        own_plugins = [BatchAugment(augment, loss), *own_plugins]
    record = BatchRecord()
    accuracy = BucketAccuracy(record)
    divergence = Divergence(model, listener, stops=bool(config.values.get("stop_on_divergence")))

    def epoch_done(done: EpochDone, lr: float) -> None:
        if on_epoch is not None:
            on_epoch(done, lr)
        divergence.epoch_done(done)

    watching = [accuracy, ProgressReporter(record, stream.bucket_names, listener, epoch_done), *plugins]
    if samples.gathered:
        watching.append(GatherBatches(lambda text: listener(Message(text, warning=True))))
    writes = run is not None and world.is_first()
    loggers = build_loggers(config, run, resumed=resumed, wandb_id=wandb_id) if run and writes else []
    with building(config, "cl_strategy", section["type"]):
        strategy = build_strategy(
            section.pop("type"),
            section,
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            loss=loss,
            metrics=build_metrics(config) if run else [],
            loggers=loggers,
            plugins=[*own_plugins, *watching],
            record=record,
            device=device,
        )
    if config.values.get("precision") == "fp16":
        scale_loss(strategy)
    refusal = mixing_fault(strategy) if augment is not None else None
    if refusal:
        raise fault(config, "model.train_cfg.augments", f"{config.values['cl_strategy']['type']} {refusal}")
    return Experiment(strategy, benchmark, accuracy, loggers, divergence)
