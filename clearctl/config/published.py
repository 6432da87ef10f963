"""A config against what is published of the dataset that its `data_name` stands for, and the folder of that dataset."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.config.findings import Fault
from clearctl.config.load import Config
from clearctl.config.registry import closest, is_slip
from clearctl.data_names import DATA_NAMES
from clearctl.errors import ConfigError


def class_counts(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(dotted key, number of classes) for each place of a config that names one."""
    model, strategy = _section(values, "model"), _section(values, "cl_strategy")
    places: list[tuple[str, Any, str]] = [
        ("model.head", model.get("head"), "num_classes"),
        ("model.torchmodel", model.get("torchmodel"), "out_features"),
        ("cl_strategy", strategy, "num_classes"),
        ("cl_strategy.buffer", strategy.get("buffer"), "total_num_classes"),
        ("cl_strategy.loss", strategy.get("loss"), "num_classes"),
        ("model.head.loss", _section(model, "head").get("loss"), "num_classes"),
    ]
    augments = _section(model, "train_cfg").get("augments")
    places += [
        (f"model.train_cfg.augments.{index}", entry, "num_classes")
        for index, entry in enumerate(augments if isinstance(augments, list) else [augments])
    ]
    metrics = values.get("metrics")
    places += [
        (f"metrics.{index}", entry, "num_classes")
        for index, entry in enumerate(metrics if isinstance(metrics, list) else [])
    ]
    for key, section, name in places:
        count = section.get(name) if isinstance(section, dict) else None
        if isinstance(count, int) and not isinstance(count, bool):
            yield f"{key}.{name}", count


def published_faults(config: Config) -> list[Fault]:
    """Where the config contradicts its `data_name`: the number of classes, the names of buckets, a slip in the name."""
    faults: list[Fault] = []

    def add(key: str, message: str) -> None:
        faults.append(Fault(config.origin(key), key, message))

    scenario = _section(config.values, "scenario")
    name = scenario.get("data_name")
    if not isinstance(name, str):
        return faults
    if name not in DATA_NAMES:
        hint = closest(name, list(DATA_NAMES))
        if hint and is_slip(name.lower(), hint):
            add("scenario.data_name", f"found {name!r}, expected one of {', '.join(DATA_NAMES)}{hint}")
        return faults
    known = DATA_NAMES[name]
    other = "for another dataset leave data_name out or give it a name of its own"
    for key, count in class_counts(config.values):
        if count != known.num_classes:
            add(key, f"found {count}, but data_name {name!r} has {known.num_classes} classes; {other}")
    buckets = scenario.get("buckets")
    wrong = [str(each) for each in buckets if str(each) not in known.bucket_names] if isinstance(buckets, list) else []
    if wrong:
        add(
            "scenario.buckets",
            f"found {', '.join(wrong)}, but data_name {name!r} has {known.labeled_buckets} labelled buckets, none above"
            f" {known.bucket_names[-1]}; {other}",
        )
    return faults


def class_count_faults(values: Mapping[str, Any], classes: int) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) where a config contradicts the number of classes that its dataset folder has."""
    counts = list(class_counts(values))
    for key, count in counts:
        if count != classes:
            yield key, f"found {count}, but the dataset has {classes} classes"
    name = _section(values, "scenario").get("data_name")
    known = DATA_NAMES.get(name) if isinstance(name, str) else None
    if not counts and known is not None and known.num_classes != classes:
        text = f"found {name!r}, which has {known.num_classes} classes, but the dataset has {classes}"
        yield "scenario.data_name", f"{text}; leave it out, or give the dataset a name of its own"


def dataset_root(config: Config, named: Path | str | None = None) -> Path:
    """The dataset folder: `named`, else the config's, else $CLEARCTL_DATASET_ROOT, else that of its `data_name`.

    Raises ConfigError where none is known: the name is not one of CLEAR's.
    """
    scenario = _section(config.values, "scenario")
    given = named or scenario.get("dataset_root")
    if isinstance(given, str | Path):
        return Path(given)
    name = scenario.get("data_name")
    try:
        return layout.default_root(name if isinstance(name, str) else None)
    except KeyError:
        raise ConfigError(
            f"{config.origin('scenario.data_name')}: scenario.dataset_root: missing, and data_name {name!r} is none of"
            f" {', '.join(DATA_NAMES)}, whose folders are known\n"
            f"name the folder there, with --dataset-root DIR or with ${layout.ROOT_VARIABLE}"
        ) from None


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
