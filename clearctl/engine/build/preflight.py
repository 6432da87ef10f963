"""Finds all errors of a config before a run, including those against the dataset folder."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.config.check import check
from clearctl.config.dialect import notices, translated
from clearctl.config.fill import fill
from clearctl.config.findings import Fault
from clearctl.config.load import load
from clearctl.config.plugins import plugin_notices, strategy_notes
from clearctl.config.published import class_count_faults, fill_class_counts, misnamed, published_faults
from clearctl.config.published import dataset_root as find_dataset_root
from clearctl.config.settings import ScenarioSettings, Settings
from clearctl.data.parts import iid_split_command, iid_split_folder
from clearctl.data.stream import class_faults, read_train_labels
from clearctl.distributed.randomness import preserve_random_states
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.config import with_width
from clearctl.engine.build.experiment import require_buildable
from clearctl.engine.build.model import build_head
from clearctl.errors import ConfigError, DatasetError
from clearctl.strategies.bucket_sizes import check_against_samples, depends_on_sample_counts, sample_notices
from clearctl.strategies.build import check_against_stream
from clearctl.strategies.patches import applied
from clearctl.strategies.traits import traits_of


@dataclass(frozen=True)
class Preflight:
    """The result of the checks: `faults`, each a line, and whether the config was checked against a dataset folder.

    `notices` are lines on what the config would have meant in the predecessor (`config.dialect`), and on settings that
    do something else than one may think; `train` prints them too. `notes` are facts to know of a sound config.
    """

    faults: list[str]
    dataset_root: Path | None
    dataset_found: bool
    notices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def check_config(
    file: Path | str, *, dataset_root: Path | str | None = None, overrides: Sequence[str] = ()
) -> Preflight:
    """Every error of the config `file`, also those that need its dataset folder if that exists.

    Builds and writes nothing. A file that cannot even be read has that one fault.
    """
    try:
        read = load(file, overrides)
    except ConfigError as error:
        return Preflight([str(error)], None, False)
    config = translated(read)
    with suppress(ConfigError, DatasetError):  # they are found below, where the folder is looked at
        fill_class_counts(config, dataset_root)
    noted, notes = (*notices(read), *plugin_notices(config.values)), tuple(strategy_notes(config.values))
    faults = [str(fault) for fault in check(config, CATALOGUE)]
    try:
        root = find_dataset_root(config, dataset_root)
    except ConfigError as error:
        return Preflight([*faults, str(error)], None, False, noted, notes)
    faults += [str(fault) for fault in published_faults(config, root)]
    name = misnamed(config, root)
    found = root.is_dir()
    noted = (*noted, name) if name else noted
    if found and not faults:
        config.values["scenario"]["dataset_root"] = str(root)
        settings = fill(with_width(config, root))
        faults = [str(fault) for fault in dataset_faults(settings)]
        if not faults and (settings.scenario.has_validation or depends_on_sample_counts(settings.strategy)):
            of_samples, unused = _sample_faults(settings)
            faults, noted = [str(fault) for fault in of_samples], (*noted, *unused)
        if not faults:
            faults = _building_faults(settings)
    return Preflight(faults, root, found, noted, notes)


def dataset_faults(settings: Settings) -> list[Fault]:
    """The needs of an otherwise valid config that its dataset folder does not meet."""
    faults = []

    def add(key: str, message: str) -> None:
        faults.append(settings.fault(key, message))

    scenario, root = settings.scenario, settings.scenario.dataset_root
    try:
        present = layout.read_bucket_indices(root)
        class_names = layout.read_class_names(root)
    except DatasetError as error:
        add("scenario.dataset_root", str(error).replace("\n", "; "))
        return faults
    buckets = [str(name) for name in scenario.buckets or present]
    for name in buckets:
        if name not in present:
            add("scenario.buckets", f"the dataset has no bucket {name!r}: it has {', '.join(present)}")
    if scenario.evaluation_protocol == "iid":
        fault = _split_fault(scenario, [name for name in buckets if name in present])
        if fault:
            add("scenario.shot" if scenario.shot else "scenario.seed", fault)
    feature_type = scenario.feature_type
    if feature_type and not layout.features_folder(root, feature_type).is_dir():
        folder, names = layout.features_folder(root, feature_type).parent, layout.feature_names(root)
        add("scenario.feature_type", f"no features {feature_type!r} in {folder}: found {', '.join(names) or 'none'}")
    selection = scenario.selection
    unknown = class_faults(class_names, selection)
    for key, message in unknown:
        add(f"scenario.{key}", message)
    if not unknown:
        for key, message in class_count_faults(settings.config.values, len(selection.names(class_names))):
            add(key, message)
    return [*faults, *check_against_stream(settings.strategy, len(buckets), scenario.task_labels)]


@applied()
def _building_faults(settings: Settings) -> list[str]:
    """The errors of the libraries on building the strategy and all that it takes, on the network's head alone."""
    for call in settings.strategy.calls:
        named = {traits_of(call.type).trained_layer, traits_of(call.type).feature_layer} & set(call.arguments)
        if any(call.arguments[name] is not None for name in named if name):
            return []  # that layer may be in the backbone
    try:
        with preserve_random_states():
            head = build_head(settings)
        require_buildable(settings, head)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def _sample_faults(settings: Settings) -> tuple[list[Fault], list[str]]:
    """Faults and notices that need the number of samples in each bucket."""
    scenario = settings.scenario
    try:
        labels = read_train_labels(
            scenario.dataset_root,
            protocol=scenario.evaluation_protocol,
            seed=scenario.seed,
            shot=scenario.shot,
            test_ratio=scenario.test_ratio,
            buckets=scenario.buckets,
            selection=scenario.selection,
            evaluate_on=scenario.evaluate_on,
        )
    except DatasetError as error:
        return [settings.fault("scenario.dataset_root", str(error).replace("\n", "; "))], []
    except ConfigError as error:  # of classes with too few images to hold some out
        key, _, text = str(error).partition(": ")
        return [settings.fault(key, text)], []
    arguments = (settings.strategy, list(labels.values()), list(labels))
    return check_against_samples(*arguments), list(sample_notices(*arguments))


def _split_fault(scenario: ScenarioSettings, buckets: list[str]) -> str | None:
    """The fault of the split that the iid protocol names, with the command that makes it."""
    root, seed, shot, ratio = scenario.dataset_root, scenario.seed, scenario.shot, scenario.test_ratio
    assert seed is not None, "the check asks for it"
    split = iid_split_folder(root, ratio, shot, seed)
    if all((split / name).is_dir() for name in buckets):
        return None
    seeds = sorted(entry.name.removeprefix("split_") for entry in split.parent.glob("split_*"))
    there = ", ".join(seeds) or "none"
    command = iid_split_command(root, ratio, shot, seed)
    return f"no split of seed {seed} in {split.parent}: found {there}; run `{command}`"
