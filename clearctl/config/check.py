"""Find every fault of a config before anything is built.

The sections and their keys are declared in keys.py; what a `type=` may be comes in as registries, because the packages
that own the classes lie above this one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl.config import own
from clearctl.config.dialect import DIALECTS
from clearctl.config.findings import Fault, Findings
from clearctl.config.foreign import RUNTIME, runtime_keys
from clearctl.config.keys import (
    CHECKPOINTS,
    CUSTOM_IMPORTS,
    MODEL,
    PARTS,
    PROTOCOLS,
    SCENARIO,
    SCHEDULER,
    STRATEGY,
    TASK_LABELS,
    TOP,
    UNITS,
)
from clearctl.config.load import SET_ORIGIN, Config
from clearctl.config.plugins import UNIT_NAMES, TestMetrics, check_plugins
from clearctl.config.registry import Parameter, Registry, closest, is_slip, parameters
from clearctl.config.speed import RefusedWith, check_speed
from clearctl.errors import ConfigError

SECTIONS = tuple(TOP)
REQUIRED = tuple(name for name, key in TOP.items() if key.required)


@dataclass(frozen=True)
class Catalogue:
    """The registries that a config's `type=` names are looked up in.

    `refused_with` has the strategies and plugins that cannot go with a value of the top level, and why. `test_metrics`
    names the metrics of a config's list that give numbers in a test.
    """

    transforms: Registry
    backbones: Registry
    necks: Registry
    heads: Registry
    losses: Registry
    augments: Registry
    torch_models: Registry
    optimizers: Registry
    schedulers: Registry
    strategies: Registry
    buffers: Registry
    plugins: Registry
    metrics: Registry
    loggers: Registry
    refused_with: RefusedWith
    test_metrics: TestMetrics


# Arguments that clearctl fills in itself: a config may not give them, and need not.
FILLED_STRATEGY = ("model", "optimizer", "criterion", "device", "plugins", "evaluator")
FILLED_LOGGER = ("resumed", "run_id")


def own_folders(config: Config) -> list[Path]:
    """Where a config's own modules may lie: beside its file and those that it builds on, or where it says."""
    named = (config.values.get("custom_imports") or {}).get("folders")
    if isinstance(named, list):
        return [Path(folder) for folder in named if isinstance(folder, str)]
    files = [config.file, *(file for file in config.origins.values() if file != SET_ORIGIN)]
    return list(dict.fromkeys(Path(file).parent for file in files))


def require(config: Config, catalogue: Catalogue) -> None:
    """Raise ConfigError with every fault, one a line, if there is any."""
    faults = check(config, catalogue)
    if faults:
        raise ConfigError("\n".join(str(fault) for fault in faults))


def check(config: Config, catalogue: Catalogue) -> list[Fault]:
    """All faults of `config`, in the order of its sections."""
    return _Sections(config, catalogue).run()


class _Sections(Findings):
    """A method for each section."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        super().__init__(config)
        self.values = config.values
        self.catalogue = catalogue

    def run(self) -> list[Fault]:
        self.top_level()
        self.own_code()
        for name, check_section in (
            ("scenario", self.scenario),
            ("model", self.model),
            ("cl_strategy", self.strategy),
            ("checkpoint_config", self.checkpoints),
        ):
            section = self.values.get(name)
            if section is not None and self.is_a(name, section, dict):
                check_section(name, section)
        self.metrics("metrics", self.values.get("metrics", []))
        self.calls("loggers", self.values.get("loggers", []), self.catalogue.loggers, FILLED_LOGGER)
        for name in ("work_dir", "load_from"):
            if self.values.get(name) is not None:
                self.is_a(name, self.values[name], str)
        self.count("seed", self.values.get("seed"), least=0)
        if self.values.get("dialect") is not None:
            self.one_of("dialect", self.values["dialect"], DIALECTS)
        check_speed(self, self.values, self.catalogue.refused_with)
        return self.faults

    def top_level(self) -> None:
        for name in REQUIRED:
            if self.values.get(name) is None:
                self.add(name, "this section is missing")
        for name, instead in runtime_keys(self.values):
            self.add(name, f"mmcls's key, which does nothing here: {instead}, and leave it out")
        for name in self.values:
            if name in SECTIONS or name in RUNTIME:
                continue
            hint = closest(name, [section for section in SECTIONS if section not in self.values])
            if self.config.origin(name) == "--set" or name not in self._file_names():
                hint = closest(name, list(SECTIONS))
                self.add(
                    name, f"there is no such section{hint or ' (a variable of the file is used up once it is read)'}"
                )
            elif hint and is_slip(name, hint):
                self.add(name, f"there is no such section{hint}")

    def own_code(self) -> None:
        """Import the modules that the config names, so that their classes are found."""
        key, given = "custom_imports", self.values.get("custom_imports")
        if given is not None and not self.is_a(key, given, dict):
            return
        section = given or {}
        self.known(key, section, tuple(CUSTOM_IMPORTS))
        folders = own_folders(self.config)
        for folder in folders:
            own.look_beside(folder)
        imports = section.get("imports") or []
        for index, name in enumerate([imports] if isinstance(imports, str) else imports):
            place = f"{key}.imports" if isinstance(imports, str) else f"{key}.imports.{index}"
            if self.is_a(place, name, str):
                try:
                    own.import_module(name, folders)
                except own.OwnCodeError as error:
                    if not section.get("allow_failed_imports"):
                        self.add(place, str(error))
        for place, name in own.own_types(self.values):
            try:
                own.import_module(name.partition(own.SEPARATOR)[0], folders)
            except own.OwnCodeError as error:
                self.add(place, str(error))

    def _file_names(self) -> set[str]:
        return {key.partition(".")[0] for key, origin in self.config.origins.items() if origin != "--set"}

    def scenario(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, tuple(SCENARIO))
        self.one_of(f"{key}.dataset_type", section.get("dataset_type", "CLEAR"), ("CLEAR",))
        protocol = section.get("evaluation_protocol", "streaming")
        self.one_of(f"{key}.evaluation_protocol", protocol, PROTOCOLS)
        self.one_of(f"{key}.task_labels", section.get("task_labels", "single"), TASK_LABELS)
        for name in ("dataset_root", "data_name", "feature_type"):
            if section.get(name) is not None:
                self.is_a(f"{key}.{name}", section[name], str)
        self.count(f"{key}.seed", section.get("seed"), least=0)
        self.count(f"{key}.shot", section.get("shot"), least=1)
        if protocol == "iid" and section.get("seed") is None:
            self.add(f"{key}.seed", "the iid protocol needs the seed of a split, such as seed=0")
        if protocol == "streaming" and section.get("shot") is not None:
            self.add(f"{key}.shot", "a few-shot split needs evaluation_protocol='iid'")
        ratio = section.get("test_ratio", 0.3)
        if not isinstance(ratio, float) or not 0 < ratio < 1:
            self.add(f"{key}.test_ratio", f"found {ratio!r}, expected a fraction such as 0.3")
        buckets = section.get("buckets")
        if buckets is not None and not (isinstance(buckets, list) and buckets):
            self.add(f"{key}.buckets", f"found {buckets!r}, expected a list of bucket names")
        for name in ("train_transform", "eval_transform"):
            self.calls(f"{key}.{name}", section.get(name) or [], self.catalogue.transforms)

    def model(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, tuple(MODEL))
        self.one_of(f"{key}.type", section.get("type", "ImageClassifier"), ("ImageClassifier",))
        if not section.get("head") and not section.get("torchmodel"):
            self.add(
                key,
                "expected a head, such as head=dict(type='LinearClsHead', num_classes=11, in_channels=512)",
            )
        if section.get("torchmodel") and any(section.get(part) for part in ("backbone", "neck", "head")):
            self.add(f"{key}.torchmodel", "stands alone: it cannot be combined with backbone, neck or head")
        for part, registry in (
            ("backbone", self.catalogue.backbones),
            ("neck", self.catalogue.necks),
            ("head", self.catalogue.heads),
            ("torchmodel", self.catalogue.torch_models),
        ):
            if part == "neck" and isinstance(section.get(part), list):
                self.calls(f"{key}.{part}", section[part], registry)
            elif section.get(part) is not None:
                self.call(f"{key}.{part}", section[part], registry)
        head = section.get("head")
        if isinstance(head, dict) and head.get("loss") is not None:
            self.call(f"{key}.head.loss", head["loss"], self.catalogue.losses)
        if section.get("pretrained") is not None:
            self.checkpoint(f"{key}.pretrained", section["pretrained"])
            if section.get("torchmodel"):
                self.add(f"{key}.pretrained", "is for backbone, neck and head: use load_from with a torchmodel")
        for place, given in ((key, section), *((f"{key}.{name}", section.get(name)) for name in PARTS)):
            self.initialisation(f"{place}.init_cfg", given.get("init_cfg") if isinstance(given, dict) else None)
        if section.get("train_cfg") is not None and self.is_a(f"{key}.train_cfg", section["train_cfg"], dict):
            self.augments(f"{key}.train_cfg", section["train_cfg"], head)
        freeze = section.get("freeze", [])
        parts = [part for part in PARTS if section.get(part)]
        if self.is_a(f"{key}.freeze", freeze, list):
            for part in freeze:
                self.one_of(f"{key}.freeze", part, parts)

    def initialisation(self, key: str, value: Any) -> None:
        """mmcv's init_cfg, one or a list; only a checkpoint in it is looked at, the rest is mmcv's to check."""
        entries = value if isinstance(value, list | tuple) else [value]
        for index, entry in enumerate(entries):
            if isinstance(entry, dict) and entry.get("type") == "Pretrained":
                place = f"{key}.{index}" if isinstance(value, list | tuple) else key
                self.checkpoint(f"{place}.checkpoint", entry.get("checkpoint"))

    def checkpoint(self, key: str, value: Any) -> None:
        """The path of a file: nothing is fetched."""
        if self.is_a(key, value, str) and "://" in value:
            self.add(key, f"found {value!r}: weights are not fetched; download them and give the path of the file")

    def augments(self, key: str, section: dict[str, Any], head: Any) -> None:
        """mmcls's train_cfg: augmentations of whole batches, one or a list."""
        self.known(key, section, ("augments",))
        found = section.get("augments")
        if found is None:
            return
        self.calls(f"{key}.augments", [found] if isinstance(found, dict) else found, self.catalogue.augments)
        classes = head.get("num_classes") if isinstance(head, dict) else None
        for index, entry in enumerate(found if isinstance(found, list) else [found]):
            given = entry.get("num_classes") if isinstance(entry, dict) else None
            if given is not None and classes is not None and given != classes:
                self.add(
                    f"{key}.augments.{index}.num_classes",
                    f"found {given!r}, but model.head.num_classes is {classes!r}: its labels have to fit the scores",
                )

    def strategy(self, key: str, section: dict[str, Any]) -> None:
        own = tuple(STRATEGY)
        arguments = {name: value for name, value in section.items() if name not in own}
        self.call(key, arguments, self.catalogue.strategies, filled=FILLED_STRATEGY, also=own)
        for name in ("train_mb_size", "eval_mb_size", "train_epochs"):
            self.count(f"{key}.{name}", section.get(name), least=1)
        self.count(f"{key}.eval_every", section.get("eval_every"), least=-1)
        if "peval_mode" in section:
            self.one_of(f"{key}.peval_mode", section["peval_mode"], tuple(UNIT_NAMES))
        for name, registry, filled in (
            ("optimizer", self.catalogue.optimizers, ("params",)),
            ("loss", self.catalogue.losses, ()),
            ("buffer", self.catalogue.buffers, ()),
        ):
            if section.get(name) is not None:
                self.call(f"{key}.{name}", section[name], registry, filled=filled)
        if section.get("scheduler") is not None:
            self.scheduler(f"{key}.scheduler", section["scheduler"])
        self.calls(f"{key}.plugins", section.get("plugins", []), self.catalogue.plugins)
        strategy = section.get("type")
        if isinstance(strategy, str) and self.catalogue.strategies.fault(strategy) is None:
            self.strategy_takes(key, section, strategy, parameters(self.catalogue.strategies[strategy])[0])

    def strategy_takes(self, key: str, section: dict[str, Any], name: str, accepted: Mapping[str, Parameter]) -> None:
        """Optimizer, scheduler and loss are there where the strategy has a use for them, and nowhere else."""
        if "optimizer" in accepted and section.get("optimizer") is None:
            self.add(f"{key}.optimizer", "missing, such as optimizer=dict(type='SGD', lr=0.01)")
        for part, argument, reason in (
            ("optimizer", "optimizer", "learns without one"),
            ("scheduler", "optimizer", "learns without an optimizer"),
            ("loss", "criterion", "has a loss of its own"),
        ):
            if argument not in accepted and section.get(part) is not None:
                self.add(f"{key}.{part}", f"{name} {reason}: leave it out")
        metrics = self.values.get("metrics")
        metrics = metrics if isinstance(metrics, list) else []
        check_plugins(self, key, section, accepted, metrics, self.catalogue.test_metrics)

    def scheduler(self, key: str, section: Any, nested: bool = False) -> None:
        """A scheduler, with the keys `by` and `reset` of clearctl's own, and the schedulers inside it."""
        own = () if nested else tuple(SCHEDULER)
        arguments = section
        if isinstance(section, dict):
            arguments = {name: value for name, value in section.items() if name not in own}
        self.call(key, arguments, self.catalogue.schedulers, filled=("optimizer",), also=own)
        if not isinstance(section, dict):
            return
        if section.get("type") == "ReduceLROnPlateau" and not self.config.of_run:
            if nested:
                self.add(key, "ReduceLROnPlateau is given a loss at each step, which no scheduler around it hands on")
            if section.get("mode", "min") != "min":
                self.add(
                    f"{key}.mode", "ReduceLROnPlateau is given the mean training loss: the lower the better, 'min'"
                )
        if section.get("schedulers") is not None and self.is_a(f"{key}.schedulers", section["schedulers"], list):
            for index, inner in enumerate(section["schedulers"]):
                self.scheduler(f"{key}.schedulers.{index}", inner, nested=True)
        if not nested:
            self.one_of(f"{key}.by", section.get("by", "epoch"), UNITS)
            reset = section.get("reset")
            if reset is not None and self.is_a(f"{key}.reset", reset, bool) and reset and section.get("by") == "bucket":
                self.add(f"{key}.reset", "by='bucket' with reset=True would undo every step")

    def metrics(self, key: str, value: Any) -> None:
        """The metrics; Avalanche's forward transfer is measured by evaluations during training."""
        self.calls(key, value, self.catalogue.metrics)
        strategy, scenario = self.values.get("cl_strategy"), self.values.get("scenario")
        by_bucket = isinstance(scenario, dict) and scenario.get("task_labels") == "bucket"
        every = strategy.get("eval_every", -1) if isinstance(strategy, dict) else -1
        for index, entry in enumerate(value if isinstance(value, list) else []):
            if isinstance(entry, dict) and entry.get("type") == "forward_transfer_metrics" and every == -1:
                self.add(f"{key}.{index}", "forward_transfer_metrics needs cl_strategy.eval_every=0 or more")
            if by_bucket and isinstance(entry, dict) and isinstance(entry.get("classes"), list):
                text = (
                    "a list is of task label 0, with scenario.task_labels='bucket' the first bucket alone: leave it out"
                )
                self.add(f"{key}.{index}.classes", text)

    def checkpoints(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, tuple(CHECKPOINTS))
        self.count(f"{key}.interval", section.get("interval"), least=1)
        every = section.get("state_every", "epoch")
        is_seconds = isinstance(every, int | float) and not isinstance(every, bool) and 0 < every < math.inf
        if every not in ("epoch", "bucket") and not is_seconds:
            self.add(f"{key}.state_every", f"found {every!r}, expected 'epoch', 'bucket' or a number of seconds")
