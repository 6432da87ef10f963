"""Find every error of a config before anything is built.

The sections and their keys are declared in keys.py; the names for `type=` are passed as registries, since the packages
with the classes are above this one.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clearctl.config import own
from clearctl.config.catalogue import Catalogue
from clearctl.config.check_metrics import check_metrics
from clearctl.config.check_model import check_model
from clearctl.config.check_strategy import check_strategy
from clearctl.config.dialect import DIALECTS
from clearctl.config.fill import INNER, inner_transforms
from clearctl.config.findings import Fault, Findings
from clearctl.config.foreign import RUNTIME, runtime_keys
from clearctl.config.keys import (
    CHECKPOINTS,
    CUSTOM_IMPORTS,
    EVALUATE_ON,
    PROTOCOLS,
    SCENARIO,
    TASK_LABELS,
    TOP,
)
from clearctl.config.load import SET_ORIGIN, Config, flatten
from clearctl.config.ranges import COUNT, SEED
from clearctl.config.registry import is_typo
from clearctl.config.speed import check_speed
from clearctl.errors import ConfigError
from clearctl.nearby import closest
from clearctl.selection import bucket_names

SECTIONS = tuple(TOP)
REQUIRED = tuple(name for name, key in TOP.items() if key.required)
# Arguments that clearctl fills in itself: a config must not give them.
FILLED_LOGGER = ("resumed", "run_id", "validation", "group", "settings")


def own_folders(config: Config) -> list[Path]:
    """The folders where a config's own modules may be: next to its file and its bases, or where it says.

    Those of a run folder's config are absolute, and none is in the run folder.
    """
    given = (config.values.get("custom_imports") or {}).get("folders")
    named = [Path(folder) for folder in given if isinstance(folder, str)] if isinstance(given, list) else None
    if config.of_run:
        run = Path(config.file).resolve().parent
        return [each for each in named or () if each.is_absolute() and not each.resolve().is_relative_to(run)]
    if named is not None:
        return named
    files = [config.file, *(file for file in config.origins.values() if file != SET_ORIGIN)]
    return list(dict.fromkeys(Path(file).parent for file in files))


def require(config: Config, catalogue: Catalogue) -> None:
    """Raise ConfigError with every error, one per line, if there are any."""
    faults = check(config, catalogue)
    if faults:
        raise ConfigError("\n".join(str(fault) for fault in faults))


def check(config: Config, catalogue: Catalogue) -> list[Fault]:
    """All errors of `config`, in the order of its sections."""
    return _Sections(config, catalogue).run()


class _Sections(Findings):
    """A method for each section."""

    def __init__(self, config: Config, catalogue: Catalogue) -> None:
        super().__init__(config, catalogue.traits_of)
        self.values = config.values
        self.catalogue = catalogue

    def run(self) -> list[Fault]:
        self.whole_numbers()
        if self.faults:  # Python can neither compare all of them with floats nor print them
            return self.faults
        self.top_level()
        self.own_code()
        for name, check_section in (
            ("scenario", self.scenario),
            ("model", lambda key, section: check_model(self, key, section, self.catalogue)),
            ("cl_strategy", lambda key, section: check_strategy(self, key, section, self.catalogue)),
            ("checkpoint_config", self.checkpoints),
        ):
            section = self.values.get(name)
            if section is not None and self.is_a(name, section, dict):
                with self.relying_on_faulty_parts():
                    check_section(name, section)
        with self.relying_on_faulty_parts():
            check_metrics(self, "metrics", self.values.get("metrics", []), self.catalogue)
            self.loggers("loggers", self.values.get("loggers", []))
        for name in ("work_dir", "load_from"):
            if self.values.get(name) is not None:
                self.is_a(name, self.values[name], str)
        self.count("seed", self.values.get("seed"), SEED)
        if self.values.get("dialect") is not None:
            self.one_of("dialect", self.values["dialect"], DIALECTS)
        with self.relying_on_faulty_parts():
            check_speed(self, self.values, self.catalogue.refused_with)
        return self.faults

    def whole_numbers(self) -> None:
        """No integer of more than 64 bits, which neither torch nor the length of anything can be."""
        for key, value in flatten(self.values):
            if type(value) is int and not -(2**63) <= value < 2**63:
                self.add(key, f"found a number of {value.bit_length()} bits, expected one of at most 63")

    def top_level(self) -> None:
        for name in REQUIRED:
            if self.values.get(name) is None:
                self.add(name, "this section is missing")
        for name, instead in runtime_keys(self.values):
            self.add(name, f"this key of mmcls does nothing here: {instead}, and leave it out")
        for name in self.values:
            if name in SECTIONS or name in RUNTIME:
                continue
            hint = closest(name, [section for section in SECTIONS if section not in self.values])
            if self.config.origin(name) == "--set" or name not in self._file_names():
                hint = closest(name, list(SECTIONS))
                self.add(name, f"unknown section{hint or ' (a variable of the file is used up once it is read)'}")
            elif hint and is_typo(name, hint):
                self.add(name, f"unknown section{hint}")

    def own_code(self) -> None:
        """Import the modules that the config names, so that their classes are found."""
        key, given = "custom_imports", self.values.get("custom_imports")
        if given is not None and not self.is_a(key, given, dict):
            return
        section = given or {}
        self.known(key, section, tuple(CUSTOM_IMPORTS))
        folders, own_types = own_folders(self.config), list(own.own_types(self.values))
        not_in = Path(self.config.file).parent if self.config.of_run else None
        imports = section.get("imports") or []
        if not isinstance(imports, str | list | tuple):
            self.add(f"{key}.imports", f"found {imports!r}, expected a list of modules, such as ['my_code']")
            return
        if section.get("allow_failed_imports") is not None:
            self.is_a(f"{key}.allow_failed_imports", section["allow_failed_imports"], bool)
        named = section.get("folders")
        if named is not None and not (isinstance(named, list) and all(isinstance(each, str) for each in named)):
            self.add(f"{key}.folders", f"found {named!r}, expected a list of folders, such as ['my_code']")
        for folder in folders if imports or own_types else ():
            own.add_import_folder(folder)
        for index, name in enumerate([imports] if isinstance(imports, str) else imports):
            place = f"{key}.imports" if isinstance(imports, str) else f"{key}.imports.{index}"
            if self.is_a(place, name, str):
                try:
                    own.import_module(name, folders, not_in)
                except own.OwnCodeError as error:
                    if not section.get("allow_failed_imports"):
                        self.add(place, str(error))
        for place, name in own_types:
            try:
                own.import_module(name.partition(own.SEPARATOR)[0], folders, not_in)
            except own.OwnCodeError as error:
                self.add(place, str(error))

    def _file_names(self) -> set[str]:
        return {key.partition(".")[0] for key, origin in self.config.origins.items() if origin != "--set"}

    def _transforms(self, key: str, value: Any) -> None:
        """A list of transforms, and those that they hold themselves."""
        self.calls(key, value, self.catalogue.transforms)
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            inner = inner_transforms(entry) if isinstance(entry, dict) else None
            if inner is not None:
                self._transforms(f"{key}.{index}.{INNER}", inner)

    def scenario(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, tuple(SCENARIO))
        self.one_of(f"{key}.dataset_type", section.get("dataset_type", SCENARIO["dataset_type"].default), ("CLEAR",))
        protocol = section.get("evaluation_protocol", SCENARIO["evaluation_protocol"].default)
        self.one_of(f"{key}.evaluation_protocol", protocol, PROTOCOLS)
        self.one_of(f"{key}.task_labels", section.get("task_labels", SCENARIO["task_labels"].default), TASK_LABELS)
        for name in ("dataset_root", "data_name", "feature_type"):
            if section.get(name) is not None:
                self.is_a(f"{key}.{name}", section[name], str)
        self.count(f"{key}.seed", section.get("seed"), SEED)
        self.count(f"{key}.shot", section.get("shot"), COUNT)
        if protocol == "iid" and section.get("seed") is None:
            self.add(f"{key}.seed", "the iid protocol needs the seed of a split, such as seed=0")
        if protocol == "streaming" and section.get("shot") is not None:
            self.add(f"{key}.shot", "a few-shot split needs evaluation_protocol='iid'")
        ratio = section.get("test_ratio", SCENARIO["test_ratio"].default)
        if not isinstance(ratio, float) or not 0 < ratio < 1:
            self.add(f"{key}.test_ratio", f"found {ratio!r}, expected a fraction such as 0.3")
        held_out = section.get("validation")
        if held_out is not None and not (isinstance(held_out, float) and 0 < held_out < 1):
            self.add(f"{key}.validation", f"found {held_out!r}, expected a fraction such as 0.1")
        evaluate_on = section.get("evaluate_on", SCENARIO["evaluate_on"].default)
        self.one_of(f"{key}.evaluate_on", evaluate_on, EVALUATE_ON)
        if evaluate_on == "validation" and held_out is None:
            self.add(f"{key}.evaluate_on", "no validation images are held out: give scenario.validation=0.1")
        self._selection(key, section)
        for name in ("train_transform", "eval_transform"):
            self._transforms(f"{key}.{name}", section.get(name) or [])

    def _selection(self, key: str, section: dict[str, Any]) -> None:
        """The buckets and classes of the stream. Whether the dataset has them is checked if it exists."""
        buckets = section.get("buckets")
        try:
            named = bucket_names(buckets) if isinstance(buckets, list | str) and buckets else None
        except ValueError:
            named = None
        if buckets is not None and named is None:
            self.add(f"{key}.buckets", f"found {buckets!r}, expected a list of bucket names, or text such as '1-5'")
        elif named is not None:
            self._no_repeats(f"{key}.buckets", named)
        for name in ("classes", "drop_classes"):
            given = section.get(name)
            if given is None or (name == "drop_classes" and given == []):
                continue
            if not (isinstance(given, list) and given and all(isinstance(each, str) for each in given)):
                self.add(f"{key}.{name}", f"found {given!r}, expected a list of class names")
            else:
                self._no_repeats(f"{key}.{name}", given)
        if section.get("classes") and section.get("drop_classes"):
            self.add(f"{key}.drop_classes", "cannot be combined with scenario.classes: give one of them")
        self.count(f"{key}.max_per_class", section.get("max_per_class"), COUNT)
        if section.get("max_per_class") is not None and section.get("shot") is not None:
            self.add(f"{key}.max_per_class", "cannot be combined with scenario.shot: leave one of them out")

    def loggers(self, key: str, value: Any) -> None:
        """The loggers; no two may write the same file."""
        self.calls(key, value, self.catalogue.loggers, FILLED_LOGGER)
        seen: list[dict[str, Any]] = []
        for index, entry in enumerate(value if isinstance(value, list) else ()):
            if entry in seen and isinstance(entry, dict) and not self.config.of_run:
                first = f"{key}.{seen.index(entry)}"
                self.add(f"{key}.{index}", f"writes to the same file as {first}: leave one of them out")
            seen.append(entry)

    def _no_repeats(self, key: str, names: Sequence[str]) -> None:
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice and not self.config.of_run:
            self.add(key, f"found {', '.join(map(repr, twice))} more than once: list each once")

    def checkpoints(self, key: str, section: dict[str, Any]) -> None:
        self.known(key, section, tuple(CHECKPOINTS))
        self.count(f"{key}.interval", section.get("interval"), COUNT)
        every = section.get("state_every", CHECKPOINTS["state_every"].default)
        is_seconds = isinstance(every, int | float) and not isinstance(every, bool) and 0 < every < math.inf
        if every not in ("epoch", "bucket") and not is_seconds:
            self.add(f"{key}.state_every", f"found {every!r}, expected 'epoch', 'bucket' or a number of seconds")
