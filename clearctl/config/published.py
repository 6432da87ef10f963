"""Checks a config against the published facts of its `data_name`, and finds the dataset folder."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.config.findings import Fault
from clearctl.config.load import Config
from clearctl.config.registry import is_typo
from clearctl.data_names import DATA_NAMES, Published
from clearctl.errors import ConfigError, DatasetError
from clearctl.nearby import closest
from clearctl.selection import bucket_names

# Written instead of a number of classes: the number in the dataset folder.
OF_DATASET = "dataset"
# Its value if there is no folder yet: larger than any argument that it limits.
_CLASSES_UNKNOWN = 1000


def class_counts(values: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(dotted key, number of classes) for each place of a config that names one."""
    for key, section, name in _class_count_places(values):
        count = section.get(name)
        if isinstance(count, int) and not isinstance(count, bool):
            yield f"{key}.{name}", count


def fill_class_counts(config: Config, root: Path | str | None) -> None:
    """Write the number of classes of the dataset folder wherever the config has OF_DATASET for one.

    `root` is the folder, by default the config's (`dataset_root`). Raises DatasetError if the folder
    does not exist or is not prepared, after writing a number with which the rest can be checked; ConfigError as
    `dataset_root` does.
    """
    asking = [
        (section, name) for _, section, name in _class_count_places(config.values) if section.get(name) == OF_DATASET
    ]
    if not asking:
        return
    data_name = _section(config.values, "scenario").get("data_name")
    known = DATA_NAMES.get(data_name) if isinstance(data_name, str) else None
    classes = selected_count(config.values, known.num_classes if known else _CLASSES_UNKNOWN)
    try:
        folder = dataset_root(config, root)
        layout.read_bucket_indices(folder)
        classes = selected_count(config.values, len(layout.read_class_names(folder)))
    finally:
        for section, name in asking:
            section[name] = classes


def selected_count(values: Mapping[str, Any], classes: int) -> int:
    """The number of a dataset's `classes` in the config's stream, if the dataset has all that it names."""
    scenario = _section(values, "scenario")
    chosen, dropped = scenario.get("classes"), scenario.get("drop_classes")
    if isinstance(chosen, list):
        return len(chosen)
    return classes - len(dropped) if isinstance(dropped, list) else classes


def _class_count_places(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(dotted key of a section, the section, name of a number of classes in it) for each that may have one."""
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
    yield from ((key, section, name) for key, section, name in places if isinstance(section, dict))


def published_faults(config: Config, root: Path | None) -> list[Fault]:
    """Contradictions of the config to its `data_name`: the number of classes, bucket names, a typo in the name.

    If the dataset folder `root` exists and agrees with the config, it is another dataset under that name, such as a
    part of CLEAR-10, and `misnamed` reports it. The classes of another of CLEAR's datasets are an error nevertheless.
    """
    faults: list[Fault] = []

    def add(key: str, message: str) -> None:
        faults.append(Fault(config.origin(key), key, message))

    name = _section(config.values, "scenario").get("data_name")
    if not isinstance(name, str):
        return faults
    if name not in DATA_NAMES:
        hint = closest(name, list(DATA_NAMES))
        if hint and is_typo(name.lower(), hint):
            add("scenario.data_name", f"found {name!r}, expected one of {', '.join(DATA_NAMES)}{hint}")
        return faults
    other = "for another dataset leave data_name out or use another name"
    known, there, buckets = DATA_NAMES[name], _classes_there(root), _buckets_there(root)
    of_another = there in {published.num_classes for published in DATA_NAMES.values()}
    expected = selected_count(config.values, known.num_classes)
    found = None if there is None else selected_count(config.values, there)
    for key, count in class_counts(config.values):
        if count != expected and (count != found or of_another):
            what = f"data_name {name!r} has {known.num_classes} classes"
            if expected != known.num_classes:
                what += f", of which the stream has {expected}"
            add(key, f"found {count}, but {what}; {other}")
    wrong = [each for each in _unknown_buckets(config.values, known) if each not in buckets]
    if wrong:
        add(
            "scenario.buckets",
            f"found {', '.join(wrong)}, but data_name {name!r} has {known.labeled_buckets} labelled buckets, none above"
            f" {known.bucket_names[-1]}; {other}",
        )
    return faults


def misnamed(config: Config, root: Path) -> str | None:
    """A line if the dataset folder `root` is not the dataset that `data_name` says."""
    name = _section(config.values, "scenario").get("data_name")
    known, classes = DATA_NAMES.get(name) if isinstance(name, str) else None, _classes_there(root)
    if known is None or classes in (None, known.num_classes):
        return None
    return (
        f"scenario.data_name: {name!r} has {known.num_classes} classes, but the dataset has {classes}: it is another"
        " dataset, so use another name"
    )


def _unknown_buckets(values: Mapping[str, Any], known: Published) -> list[str]:
    """The buckets in a config that no archive of the dataset has."""
    given = _section(values, "scenario").get("buckets")
    try:
        named = bucket_names(given) if isinstance(given, list | str) else []
    except ValueError:
        named = []
    return [name for name in named if name not in known.bucket_names]


def _classes_there(root: Path | None) -> int | None:
    try:
        return len(layout.read_class_names(root)) if root is not None else None
    except DatasetError:
        return None


def _buckets_there(root: Path | None) -> list[str]:
    try:
        return layout.read_bucket_indices(root) if root is not None else []
    except DatasetError:
        return []


def class_count_faults(values: Mapping[str, Any], classes: int) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong) where a config contradicts the number of classes that its dataset folder has."""
    for key, count in class_counts(values):
        if count != classes:
            yield key, f"found {count}, but the dataset has {classes} classes: set it to {classes} or {OF_DATASET!r}"


def dataset_root(config: Config, named: Path | str | None = None) -> Path:
    """The dataset folder: `named`, else the config's, else $CLEARCTL_DATASET_ROOT, else that of its `data_name`.

    `~` stands for a home folder. Raises ConfigError if there is no such home, or where no folder is known: the name
    is not one of CLEAR's.
    """
    scenario = _section(config.values, "scenario")
    root = named or scenario.get("dataset_root")
    name = scenario.get("data_name")
    try:
        if not isinstance(root, str | Path):
            root = layout.default_root(name if isinstance(name, str) else None)
        return Path(root).expanduser()
    except KeyError:
        raise ConfigError(
            f"{config.origin('scenario.data_name')}: scenario.dataset_root: missing, and data_name {name!r} is none of"
            f" {', '.join(DATA_NAMES)}, whose folders are known\n"
            f"give the folder there, with --dataset-root DIR or with ${layout.ROOT_VARIABLE}"
        ) from None
    except RuntimeError:
        where = config.origin("scenario.dataset_root")
        raise ConfigError(f"{where}: scenario.dataset_root: {root}: no such home folder") from None


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
