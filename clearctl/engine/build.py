"""From a checked config to live objects. Below this module nobody receives a config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl import layout
from clearctl.config.check import own_folders, require
from clearctl.config.dialect import notices, translated, write_out_defaults
from clearctl.config.load import Config, load
from clearctl.config.own import folders_with, named_modules
from clearctl.config.plugins import plugin_notices
from clearctl.config.published import class_count_faults, misnamed, published_faults
from clearctl.config.published import dataset_root as find_dataset_root
from clearctl.config.registry import parameters
from clearctl.data.stream import Stream, read_stream
from clearctl.distributed import world
from clearctl.engine.accelerate import accelerate
from clearctl.engine.calls import building, call, fault
from clearctl.engine.catalogue import CATALOGUE
from clearctl.engine.divergence import Divergence
from clearctl.engine.reporting import build_loggers, build_metrics
from clearctl.engine.samples import BuiltSamples, build_samples
from clearctl.engine.sharing import of_all_processes
from clearctl.engine.transforms import build_transforms
from clearctl.errors import ConfigError
from clearctl.models.augments import build_augments
from clearctl.models.classifier import build_classifier
from clearctl.models.fit import find_misfit, randomness_kept
from clearctl.models.losses import build_criterion
from clearctl.models.parallel import share_passes
from clearctl.models.pretrained import load_network
from clearctl.models.sync_bn import synchronised
from clearctl.progress import EpochDone, Listener, Message, ignore
from clearctl.strategies.augment import BatchAugment, SoftLabelLoss, mixing_fault
from clearctl.strategies.batch import BatchRecord
from clearctl.strategies.benchmark import build_benchmark
from clearctl.strategies.bucket_sizes import check_against_samples, sample_notices
from clearctl.strategies.build import build_strategy, check_against_model, check_against_stream
from clearctl.strategies.gather import GatherBatches
from clearctl.strategies.loggers import RunLogger
from clearctl.strategies.observe import BucketAccuracy, OnEpoch, ProgressReporter
from clearctl.strategies.precision import scale_loss
from clearctl.strategies.schedule import SchedulerPlugin

DEFAULT_WORK_DIR = "work_dirs"


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


def open_config(
    file: Path | str,
    *,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
    of_run: bool = False,
) -> Config:
    """The checked config of `file`, complete: paths absolute, seed and folders filled in.

    `dataset_root` wins over the config's, which wins over $CLEARCTL_DATASET_ROOT. `of_run` says that the file is a
    run folder's. Raises ConfigError with all faults.
    """
    read = load(file, overrides)
    config = replace(translated(read), of_run=of_run)
    require(config, CATALOGUE)
    root = find_dataset_root(config, dataset_root)
    if not of_run:  # earlier versions made runs that contradict what is published of their dataset
        noted = (*notices(read), *plugin_notices(config.values))
        config = _of_its_dataset(replace(config, notices=noted), root)
    values = config.values
    if modules := named_modules(values):  # of which the run's own config then says where they are
        folders = folders_with(modules, own_folders(config))
        values["custom_imports"] = {"imports": modules, "folders": [str(folder.resolve()) for folder in folders]}
    write_out_defaults(values, of_run=of_run)
    scenario, model, data = values["scenario"], values["model"], values.get("data") or {}
    scenario["dataset_root"] = root
    values["work_dir"] = work_dir or values.get("work_dir") or DEFAULT_WORK_DIR
    for place, section, name in (
        ("scenario.", scenario, "dataset_root"),
        ("", values, "work_dir"),
        ("", values, "load_from"),
        ("model.", model, "pretrained"),
        ("data.", data, "cache_dir"),
    ):
        if section.get(name):
            try:
                section[name] = str(Path(section[name]).expanduser().resolve())
            except RuntimeError:
                raise fault(config, place + name, f"{section[name]}: there is no such home folder") from None
    values["seed"] = seed if seed is not None else values.get("seed") or 0
    return config


def _of_its_dataset(config: Config, root: Path) -> Config:
    """`config`, with a notice if `root` is not what its data_name says. Raises ConfigError where they cannot go."""
    faults = published_faults(config, root)
    if faults:
        raise ConfigError("\n".join(str(each) for each in faults))
    noted = misnamed(config, root)
    return replace(config, notices=(*config.notices, noted)) if noted else config


def build_stream(config: Config, listener: Listener = ignore) -> Stream:
    """Read the stream that the scenario describes. Raises DatasetError."""
    scenario = config.values["scenario"]
    root = Path(scenario["dataset_root"])
    if scenario.get("evaluation_protocol") == "iid" and not scenario.get("shot") and layout.has_published_split(root):
        listener(
            Message("train and test are the release's own split: scenario.seed and scenario.test_ratio play no part")
        )
    return read_stream(
        root,
        protocol=scenario.get("evaluation_protocol", "streaming"),
        seed=scenario.get("seed"),
        shot=scenario.get("shot"),
        test_ratio=scenario.get("test_ratio", 0.3),
        feature_type=scenario.get("feature_type"),
        buckets=scenario.get("buckets"),
    )


def benchmark_of(config: Config, samples: BuiltSamples) -> Any:
    """The benchmark of `samples`, with the task labels that the scenario asks for."""
    task_labels = config.values["scenario"].get("task_labels", "single")
    return build_benchmark(samples.stream, samples.train_transform, samples.eval_transform, task_labels)


def build_model(config: Config, stream: Stream, listener: Listener) -> nn.Module:
    """The network, with the weights of `pretrained` and then `load_from` if there are any.

    Raises ConfigError if it does not fit the stream.
    """
    section = config.values["model"]
    _require_classes(config, len(stream.class_names), listener)

    def say(key: str, left: Sequence[str]) -> None:
        if left:
            listener(Message(f"{key} has no fitting {', '.join(left)}: left as initialised", warning=True))

    parts = {name: value for name, value in section.items() if name not in ("type", "train_cfg")}
    with building(config, "model", "the network"):
        model = build_classifier(**parts, on_left=lambda key, left: say(f"model.{key}", left))
    require_fit(config, stream, model)
    file = config.values.get("load_from")
    if file:
        report = load_network(model, Path(file))
        if report.prefix:
            listener(Message(f"load_from: the weights under {report.prefix!r} of {file}"))
        say("load_from", report.left_random)
    return model


def _require_classes(config: Config, classes: int, listener: Listener) -> None:
    """Raise ConfigError where the config has another number of classes than the dataset.

    Earlier versions made runs with more, which can still be tested and resumed.
    """
    for key, text in class_count_faults(config.values, classes):
        if not config.of_run:
            raise fault(config, key, text)
        listener(Message(f"{key}: {text}: scores of classes that are not there are never right", warning=True))


def require_fit(config: Config, stream: Stream, model: nn.Module) -> None:
    """Raise ConfigError, naming the key, if `model` cannot score a sample of the stream as the transforms give it.

    Random generators, batch norms and the train mode stay as they are.
    """
    samples = stream.buckets[0].test
    batches = {}  # by shape: training and testing may have different sizes
    with randomness_kept():
        for name, transform in zip(("train_transform", "eval_transform"), build_transforms(config), strict=True):
            x: Any = samples[0][0]
            try:
                x = transform(x) if transform else x
                batches[x.shape] = torch.stack([x, x])  # LeNet5 drops the dimension of a batch of one
            except Exception as error:
                raise fault(config, f"scenario.{name}", f"an image cannot be transformed: {error}") from error
    for x in batches.values():
        misfit = find_misfit(model, x, len(stream.class_names))
        if misfit:
            raise fault(config, f"model.{misfit.key}", misfit.text)


def require_strategy_fit(config: Config, stream: Stream, model: nn.Module, listener: Listener) -> None:
    """Raise ConfigError where the strategy and its plugins do not fit the stream or the network; nothing is built.

    `listener` is told of settings that have no effect on so many samples.
    """
    _require_fits_stream(config, stream)
    section = config.values["cl_strategy"]
    labels = [bucket.train.targets for bucket in stream.buckets]

    def samples() -> torch.Tensor:
        transform, _ = build_transforms(config)
        x: Any = stream.buckets[0].train[0][0]
        x = transform(x) if transform else x
        return torch.stack([x, x]).to(next(model.parameters()).device)

    _raise_all(
        config,
        [
            *check_against_samples(section, labels, stream.bucket_names),
            *check_against_model(section, model, samples),
        ],
    )
    for text in sample_notices(section, labels, stream.bucket_names):
        listener(Message(text, warning=True))


def _require_fits_stream(config: Config, stream: Stream) -> None:
    task_labels = config.values["scenario"].get("task_labels", "single")
    _raise_all(config, check_against_stream(config.values["cl_strategy"], len(stream.buckets), task_labels))


def _raise_all(config: Config, faults: Sequence[tuple[str, str]]) -> None:
    if faults:
        raise ConfigError("\n".join(str(fault(config, f"cl_strategy.{key}", text)) for key, text in faults))


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
    goes_on: bool = False,
    wandb_id: str | None = None,
) -> Experiment:
    """Strategy and benchmark. Without a `run` folder there are no metrics and loggers but the accuracy itself.

    `listener` is told of the progress, and `on_epoch` of the end of each epoch, with its learning rate. `samples` are
    those of `stream`, and `benchmark` that of `samples`, if they have been built before. The loggers of a run that
    `goes_on` keep what is there.
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
    loggers = build_loggers(config, run, goes_on=goes_on, wandb_id=wandb_id) if run and writes else []
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


def build_loss(config: Config, model: nn.Module, device: torch.device) -> nn.Module | None:
    """The loss: `cl_strategy.loss`, else the `loss` that the config gives `model.head`, else None, for the strategy's.

    Raises ConfigError for a loss that cannot score the head's classes.
    """
    strategy, head = config.values["cl_strategy"], config.values["model"].get("head") or {}
    given = strategy.get("loss")
    key = "cl_strategy.loss" if given is not None else "model.head.loss"
    if not _takes_loss(config):
        if head.get("loss") is not None:
            raise fault(config, key, f"{strategy['type']} has a loss of its own: leave it out")
        return None
    loss = call(config, key, CATALOGUE.losses, given) if given is not None else None
    with building(config, key, (given or head.get("loss") or {"type": "the loss"})["type"]):
        criterion = build_criterion(model, loss, head_has_one=head.get("loss") is not None)
        if criterion is not None and head.get("num_classes"):
            criterion.try_on(head["num_classes"], soft=bool(config.values["model"].get("train_cfg")))
    return None if criterion is None else criterion.to(device)


def _takes_loss(config: Config) -> bool:
    return "criterion" in parameters(CATALOGUE.strategies[config.values["cl_strategy"]["type"]])[0]


def build_augment(config: Config, stream: Stream) -> Any | None:
    """What `model.train_cfg.augments` does to a batch; None if there is none."""
    entries = (config.values["model"].get("train_cfg") or {}).get("augments")
    if not entries:
        return None
    key = "model.train_cfg.augments"
    for entry in [entries] if isinstance(entries, dict) else entries:
        if stream.feature_dim is not None and entry["type"] not in ("BatchMixup", "Identity"):
            raise fault(config, key, f"{entry['type']} needs images: for features there is BatchMixup")
    with building(config, key, "Augments"):
        return build_augments(entries)


def build_schedule(config: Config, entry: Mapping[str, Any], optimizer: Any) -> SchedulerPlugin:
    """The scheduler, with those inside it, and when it steps."""
    key = "cl_strategy.scheduler"
    own = {name: entry[name] for name in ("by", "reset") if name in entry}

    def build(key: str, entry: Mapping[str, Any]) -> Any:
        arguments = {name: value for name, value in entry.items() if name not in own}
        if "schedulers" in entry:
            inner = [build(f"{key}.schedulers.{index}", child) for index, child in enumerate(entry["schedulers"])]
            arguments["schedulers"] = inner
        return call(config, key, CATALOGUE.schedulers, arguments, optimizer=optimizer)

    with building(config, key, entry["type"]):
        return SchedulerPlugin(build(key, entry), **own)
