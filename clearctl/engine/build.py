"""From a checked config to live objects. Below this module nobody receives a config."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from clearctl import layout, rundir
from clearctl.config.check import require
from clearctl.config.load import Config, load
from clearctl.config.registry import Registry
from clearctl.data.stream import Stream, read_stream
from clearctl.data.transforms import compose
from clearctl.engine.catalogue import CATALOGUE
from clearctl.engine.checkpoint import load_what_fits
from clearctl.errors import ClearctlError, ConfigError
from clearctl.models.classifier import build_classifier
from clearctl.progress import Listener, Message
from clearctl.strategies.benchmark import build_benchmark
from clearctl.strategies.build import build_strategy
from clearctl.strategies.observe import BucketAccuracy

DEFAULT_WORK_DIR = "work_dirs"


@dataclass
class Experiment:
    """Everything a run needs, built: `strategy` learns from and is tested on `benchmark`, made of `stream`."""

    strategy: Any
    benchmark: Any
    accuracy: BucketAccuracy
    loggers: list[Any]


def open_config(
    file: Path | str,
    *,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> Config:
    """The checked config of `file`, complete: paths absolute, seed and folders filled in.

    `dataset_root` wins over the config's, which wins over $CLEARCTL_DATASET_ROOT. Raises ConfigError with all faults.
    """
    config = load(file, overrides)
    require(config, CATALOGUE)
    values = config.values
    root = dataset_root or values["scenario"].get("dataset_root") or layout.default_root()
    values["scenario"]["dataset_root"] = str(Path(root).expanduser().resolve())
    values["work_dir"] = str(Path(work_dir or values.get("work_dir") or DEFAULT_WORK_DIR).expanduser().resolve())
    if values.get("load_from"):
        values["load_from"] = str(Path(values["load_from"]).expanduser().resolve())
    values["seed"] = seed if seed is not None else values.get("seed") or 0
    return config


def build_stream(config: Config) -> Stream:
    """Read the stream that the scenario describes. Raises DatasetError."""
    scenario = config.values["scenario"]
    return read_stream(
        Path(scenario["dataset_root"]),
        protocol=scenario.get("evaluation_protocol", "streaming"),
        seed=scenario.get("seed"),
        shot=scenario.get("shot"),
        test_ratio=scenario.get("test_ratio", 0.3),
        feature_type=scenario.get("feature_type"),
        buckets=scenario.get("buckets"),
    )


def build_model(config: Config, stream: Stream, listener: Listener) -> nn.Module:
    """The network, with `load_from`'s weights if there are any. Raises ConfigError if it does not fit the stream."""
    section = config.values["model"]
    classes = len(stream.class_names)
    num_classes = (section.get("head") or {}).get("num_classes")
    if isinstance(num_classes, int) and num_classes < classes:
        raise _fault(config, "model.head.num_classes", f"found {num_classes}, but the dataset has {classes} classes")
    with _building(config, "model", "the network"):
        model = build_classifier(**section)
    file = config.values.get("load_from")
    if file:
        left = load_what_fits(model, Path(file))
        if left:
            listener(Message(f"load_from has no fitting {', '.join(left)}: left as initialised", warning=True))
    return model


def build_transforms(config: Config) -> tuple[Any, Any]:
    """(train, eval) transforms of images; (None, None) for features."""
    scenario = config.values["scenario"]
    if scenario.get("feature_type"):
        return None, None
    built = []
    for name in ("train_transform", "eval_transform"):
        entries = scenario.get(name) or []
        steps = [
            _call(config, f"scenario.{name}.{index}", CATALOGUE.transforms, entry)
            for index, entry in enumerate(entries)
        ]
        if not any(type(step).__name__ in ("ToTensor", "PILToTensor") for step in steps):
            raise _fault(config, f"scenario.{name}", "images need dict(type='ToTensor') among the transforms")
        built.append(compose(steps))
    return built[0], built[1]


def build_experiment(
    config: Config,
    stream: Stream,
    model: nn.Module,
    device: torch.device,
    *,
    run: Path | None,
    plugins: tuple[Any, ...] = (),
) -> Experiment:
    """Strategy and benchmark. Without a `run` folder there are no metrics and loggers but the accuracy itself."""
    section = dict(config.values["cl_strategy"])
    model = model.to(device)
    benchmark = build_benchmark(stream, *build_transforms(config))
    optimizer = _call(
        config,
        "cl_strategy.optimizer",
        CATALOGUE.optimizers,
        section.pop("optimizer"),
        params=[parameter for parameter in model.parameters() if parameter.requires_grad],
    )
    scheduler = section.pop("scheduler", None)
    if scheduler is not None:
        scheduler = _call(config, "cl_strategy.scheduler", CATALOGUE.schedulers, scheduler, optimizer=optimizer)
    loss = section.pop("loss", None)
    if loss is not None:
        loss = _call(config, "cl_strategy.loss", CATALOGUE.losses, loss)
    own_plugins = [
        _call(config, f"cl_strategy.plugins.{index}", CATALOGUE.plugins, entry)
        for index, entry in enumerate(section.pop("plugins", []))
    ]
    accuracy = BucketAccuracy()
    loggers = build_loggers(config, run) if run else []
    with _building(config, "cl_strategy", section["type"]):
        strategy = build_strategy(
            section.pop("type"),
            section,
            model=model,
            optimizer=optimizer,
            scheduler=scheduler,
            loss=loss,
            metrics=build_metrics(config) if run else [],
            loggers=loggers,
            plugins=[*own_plugins, accuracy, *plugins],
            device=device,
        )
    return Experiment(strategy, benchmark, accuracy, loggers)


def build_metrics(config: Config) -> list[Any]:
    """Avalanche's metric plugins."""
    entries = config.values.get("metrics") or []
    return [_call(config, f"metrics.{index}", CATALOGUE.metrics, entry) for index, entry in enumerate(entries)]


def build_loggers(config: Config, run: Path) -> list[Any]:
    """The loggers, writing into the `run` folder where the config names no other place."""
    built = []
    for index, entry in enumerate(config.values.get("loggers") or []):
        filled: dict[str, Any] = {}
        if entry["type"] == "TextLogger" and not entry.get("file"):
            filled["file"] = str(rundir.log_file(run))
        elif entry["type"] == "CSVLogger" and not entry.get("log_folder"):
            filled["log_folder"] = str(run / "csv")
        elif entry["type"] == "TensorboardLogger" and not entry.get("tb_log_dir"):
            filled["tb_log_dir"] = str(run / "tensorboard")
        elif entry["type"] == "WandBLogger":
            filled["config"] = config.values
            filled["dir"] = entry.get("dir") or str(run)
        given = {name: value for name, value in entry.items() if name not in filled}
        built.append(_call(config, f"loggers.{index}", CATALOGUE.loggers, given, **filled))
    return built


def _call(config: Config, key: str, registry: Registry, entry: Mapping[str, Any], **filled: Any) -> Any:
    arguments = {name: value for name, value in entry.items() if name != "type"}
    with _building(config, key, entry["type"]):
        return registry[entry["type"]](**arguments, **filled)


class _building:
    """Turns whatever a class raises at its arguments into a ConfigError that names their place."""

    def __init__(self, config: Config, key: str, name: str) -> None:
        self.config, self.key, self.name = config, key, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ClearctlError):
            text = str(error).replace("\n", " ") or type(error).__name__
            raise _fault(self.config, self.key, f"{self.name} refuses its arguments: {text}") from error


def _fault(config: Config, key: str, message: str) -> ConfigError:
    return ConfigError(f"{config.origin(key)}: {key}: {message}")
