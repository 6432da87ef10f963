"""Find every fault of a config before anything is built.

The sections and their keys are declared here; what a `type=` may be comes in as registries, because the packages that
own the classes lie above this one.
"""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clearctl.config.load import Config
from clearctl.config.registry import Parameter, Registry, closest, parameters
from clearctl.errors import ConfigError

SECTIONS = (
    "scenario",
    "model",
    "loggers",
    "metrics",
    "cl_strategy",
    "work_dir",
    "checkpoint_config",
    "load_from",
    "seed",
    "data",
)
REQUIRED = ("scenario", "model", "cl_strategy")
PROTOCOLS = ("streaming", "iid")


@dataclass(frozen=True)
class Fault:
    """One thing wrong: the file and dotted key where it is, and what was found and expected."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}"


@dataclass(frozen=True)
class Catalogue:
    """The registries that a config's `type=` names are looked up in."""

    transforms: Registry
    backbones: Registry
    necks: Registry
    heads: Registry
    losses: Registry
    torch_models: Registry
    optimizers: Registry
    schedulers: Registry
    strategies: Registry
    plugins: Registry
    metrics: Registry
    loggers: Registry


# Arguments that clearctl fills in itself: a config may not give them, and need not.
FILLED_STRATEGY = ("model", "optimizer", "criterion", "device", "plugins", "evaluator")


def require(config: Config, catalogue: Catalogue) -> None:
    """Raise ConfigError with every fault, one a line, if there is any."""
    faults = check(config, catalogue)
    if faults:
        raise ConfigError("\n".join(str(fault) for fault in faults))


def check(config: Config, catalogue: Catalogue) -> list[Fault]:
    """All faults of `config`, in the order of its sections."""
    return _Checker(config, catalogue).run()


class _Checker:
    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        self.config = config
        self.values = config.values
        self.catalogue = catalogue
        self.faults: list[Fault] = []

    def run(self) -> list[Fault]:
        self.top_level()
        for name, check_section in (
            ("scenario", self.scenario),
            ("model", self.model),
            ("cl_strategy", self.strategy),
            ("checkpoint_config", self.checkpoints),
            ("data", self.data),
        ):
            section = self.values.get(name)
            if section is not None and self.is_a(name, section, dict):
                check_section(name, section)
        self.calls("metrics", self.values.get("metrics", []), self.catalogue.metrics)
        self.calls("loggers", self.values.get("loggers", []), self.catalogue.loggers)
        for name in ("work_dir", "load_from"):
            if self.values.get(name) is not None:
                self.is_a(name, self.values[name], str)
        self.count("seed", self.values.get("seed"), least=0)
        return self.faults

    def add(self, key: str, message: str) -> None:
        self.faults.append(Fault(self.config.origin(key), key, message))

    # Sections

    def top_level(self) -> None:
        for name in REQUIRED:
            if self.values.get(name) is None:
                self.add(name, "this section is missing")
        for name in self.values:
            if name in SECTIONS:
                continue
            hint = closest(name, [section for section in SECTIONS if section not in self.values])
            if self.config.origin(name) == "--set" or name not in self._file_names():
                self.add(name, f"there is no such section{closest(name, list(SECTIONS))}")
            elif hint and _nearly(name, hint):
                self.add(name, f"there is no such section{hint}")

    def _file_names(self) -> set[str]:
        return {key.partition(".")[0] for key, origin in self.config.origins.items() if origin != "--set"}

    def scenario(self, key: str, section: dict[str, Any]) -> None:
        self.known(
            key,
            section,
            (
                "dataset_type",
                "data_name",
                "dataset_root",
                "evaluation_protocol",
                "seed",
                "shot",
                "test_ratio",
                "feature_type",
                "train_transform",
                "eval_transform",
                "buckets",
            ),
        )
        self.one_of(f"{key}.dataset_type", section.get("dataset_type", "CLEAR"), ("CLEAR",))
        protocol = section.get("evaluation_protocol", "streaming")
        self.one_of(f"{key}.evaluation_protocol", protocol, PROTOCOLS)
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
        self.known(key, section, ("backbone", "neck", "head", "torchmodel", "init_cfg", "freeze"))
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
            if section.get(part) is not None:
                self.call(f"{key}.{part}", section[part], registry)
        freeze = section.get("freeze", [])
        parts = [part for part in ("backbone", "neck", "head") if section.get(part)]
        for part in freeze if isinstance(freeze, list) else [freeze]:
            self.one_of(f"{key}.freeze", part, parts)

    def strategy(self, key: str, section: dict[str, Any]) -> None:
        own = ("optimizer", "scheduler", "loss", "plugins")
        arguments = {name: value for name, value in section.items() if name not in own}
        self.call(key, arguments, self.catalogue.strategies, filled=FILLED_STRATEGY, also=own)
        for name in ("train_mb_size", "eval_mb_size", "train_epochs"):
            self.count(f"{key}.{name}", section.get(name), least=1)
        for name, registry, filled in (
            ("optimizer", self.catalogue.optimizers, ("params",)),
            ("scheduler", self.catalogue.schedulers, ("optimizer",)),
            ("loss", self.catalogue.losses, ()),
        ):
            if section.get(name) is not None:
                self.call(f"{key}.{name}", section[name], registry, filled=filled)
        if section.get("optimizer") is None:
            self.add(f"{key}.optimizer", "missing, such as optimizer=dict(type='SGD', lr=0.01)")
        self.calls(f"{key}.plugins", section.get("plugins", []), self.catalogue.plugins)

    def checkpoints(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, ("interval",))
        self.count(f"{key}.interval", section.get("interval"), least=1)

    def data(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, ("workers",))
        self.count(f"{key}.workers", section.get("workers"), least=0)

    # Values

    def is_a(self, key: str, value: Any, kind: type) -> bool:
        if isinstance(value, kind):
            return True
        self.add(key, f"found {value!r}, expected a {kind.__name__}")
        return False

    def count(self, key: str, value: Any, least: int) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            self.add(key, f"found {value!r}, expected a whole number from {least}")

    def one_of(self, key: str, value: Any, choices: Sequence[str]) -> None:
        if value not in choices:
            hint = closest(value, list(choices)) if isinstance(value, str) else ""
            self.add(key, f"found {value!r}, expected {' or '.join(map(repr, choices)) or 'nothing'}{hint}")

    def known(self, key: str, section: Mapping[str, Any], names: Sequence[str]) -> None:
        for name in section:
            if name not in names:
                self.add(f"{key}.{name}", f"{key} has no such key{closest(name, list(names))}")

    # Calls

    def calls(self, key: str, value: Any, registry: Registry) -> None:
        if self.is_a(key, value, list):
            for index, entry in enumerate(value):
                self.call(f"{key}.{index}", entry, registry)

    def call(
        self,
        key: str,
        value: Any,
        registry: Registry,
        filled: Sequence[str] = (),
        also: Sequence[str] = (),
    ) -> None:
        """`value` is dict(type=name, **arguments) for a class of `registry`.

        `filled` are arguments that clearctl gives; `also` are keys of the section that are not arguments.
        """
        if not self.is_a(key, value, dict):
            return
        if "type" not in value:
            self.add(key, f"has no type: expected the name of a {registry.kind}")
            return
        fault = registry.fault(value["type"])
        if fault:
            self.add(f"{key}.type", fault)
            return
        name = value["type"]
        accepted, open_ended = parameters(registry[name])
        accepted = {argument: accepted[argument] for argument in accepted if argument not in filled}
        given = {argument: child for argument, child in value.items() if argument != "type"}
        for argument, child in given.items():
            if argument in accepted:
                self.argument(f"{key}.{argument}", child, accepted[argument])
            elif not open_ended:
                hint = closest(argument, [*accepted, *also])
                self.add(f"{key}.{argument}", f"{name} has no argument {argument!r}{hint}")
        for argument, parameter in accepted.items():
            if parameter.required and argument not in given:
                self.add(key, f"{name} needs the argument {argument!r}")

    def argument(self, key: str, value: Any, parameter: Parameter) -> None:
        expected = _expected_types(parameter)
        if expected and not isinstance(value, expected):
            names = " or ".join(kind.__name__ for kind in expected if kind is not type(None))
            self.add(key, f"found {value!r}, expected {names}")


def _nearly(name: str, hint: str) -> bool:
    """Whether a variable's name is a slip of a section's, `wrok_dir`, rather than a word like `models`."""
    section = hint.split("'")[1]
    return sorted(name) == sorted(section) or (abs(len(name) - len(section)) <= 1 and _distance(name, section) <= 2)


def _distance(one: str, other: str) -> int:
    """Edits (insert, delete, replace) between two short strings."""
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        row, previous = [i], row
        for j, another in enumerate(other, 1):
            row.append(min(row[-1] + 1, previous[j] + 1, previous[j - 1] + (letter != another)))
    return row[-1]


def _expected_types(parameter: Parameter) -> tuple[type, ...]:
    """The types that a plain annotation, or failing that a plain default, allows; empty where neither says."""
    annotation = parameter.annotation
    simple = (bool, int, float, str)
    if annotation in simple:
        kinds = {annotation}
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        kinds = set(typing.get_args(annotation))
        if not kinds <= {*simple, type(None)}:
            return ()
    elif annotation is inspect.Parameter.empty and type(parameter.default) in (bool, float, str):
        kinds = {type(parameter.default)}
        if kinds == {str}:  # a default string often stands for one of several forms
            return ()
        kinds |= {type(None), list, tuple, dict} if kinds == {float} else {type(None)}
    else:
        return ()
    if float in kinds:
        kinds.add(int)
    if parameter.default is None:
        kinds.add(type(None))
    return tuple(sorted(kinds, key=lambda kind: kind.__name__))
