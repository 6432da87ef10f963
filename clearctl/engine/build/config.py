"""A config file, checked and complete."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.config.check import own_folders, require
from clearctl.config.dialect import notices, translated, write_out_defaults
from clearctl.config.keys import FEATURES, TOP, WIDTHS
from clearctl.config.load import Config, load, of_run
from clearctl.config.own import folders_with, named_modules
from clearctl.config.plugins import plugin_notices
from clearctl.config.published import dataset_root as find_dataset_root
from clearctl.config.published import fill_class_counts, misnamed, published_faults
from clearctl.data.features import feature_dimension
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import ConfigError


def open_config(
    file: Path | str,
    *,
    overrides: tuple[str, ...] = (),
    seed: int | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> Config:
    """The checked config of `file`, complete: paths absolute, seed and folders filled in.

    `dataset_root` wins over the config's, which wins over $CLEARCTL_DATASET_ROOT. Raises ConfigError with all faults,
    and DatasetError if the config takes its number of classes from a folder that is not prepared.
    """
    read = load(file, overrides)
    config = translated(read)
    fill_class_counts(config, dataset_root)
    require(config, CATALOGUE)
    root = find_dataset_root(config, dataset_root)
    noted = (*notices(read), *plugin_notices(config.values))
    config = _of_its_dataset(replace(config, notices=noted), root)
    return _complete(config, root, seed, work_dir)


def open_run_config(
    run: Path,
    *,
    overrides: tuple[str, ...] = (),
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
) -> Config:
    """The config of a run folder, checked and complete as `open_config` does it. Nothing in the folder runs as code.

    Contradictions to the published facts of its dataset are accepted: earlier versions made such runs. Raises RunError
    for a config that no run has written, and ConfigError with all faults.
    """
    file = rundir.config_file(run)
    config = translated(of_run(rundir.read_config(run), file, overrides))
    require(config, CATALOGUE)
    return _complete(config, find_dataset_root(config, dataset_root), None, work_dir)


def _complete(config: Config, root: Path, seed: int | None, work_dir: Path | str | None) -> Config:
    values = config.values
    if modules := named_modules(values):  # of which the run's own config then says where they are
        folders = folders_with(modules, own_folders(config))
        values["custom_imports"] = {"imports": modules, "folders": [str(folder.resolve()) for folder in folders]}
    write_out_defaults(values, of_run=config.of_run)
    scenario, model, data = values["scenario"], values["model"], values.get("data") or {}
    scenario["dataset_root"] = root
    values["work_dir"] = work_dir or values.get("work_dir") or TOP["work_dir"].default
    for place, section, name in (
        ("scenario.", scenario, "dataset_root"),
        ("", values, "work_dir"),
        ("", values, "load_from"),
        ("model.", model, "pretrained"),
        ("model.backbone.", model.get("backbone") or {}, "pretrained"),
        ("data.", data, "cache_dir"),
    ):
        if section.get(name) and section[name] is not True:
            try:
                section[name] = str(Path(section[name]).expanduser().resolve())
            except RuntimeError:
                key = place + name
                text = f"{section[name]}: no such home folder"
                raise ConfigError(f"{config.origin(key)}: {key}: {text}") from None
    _set_width(values, root)
    values["seed"] = seed if seed is not None else values.get("seed") or TOP["seed"].default
    return config


def with_width(config: Config, root: Path) -> Config:
    """`config` with the dimension of its features for a head that takes as many numbers as they have."""
    values = copy.deepcopy(config.values)
    _set_width(values, root)
    return replace(config, values=values)


def _set_width(values: dict[str, Any], root: Path) -> None:
    for part, width in WIDTHS.items():
        section = (values.get("model") or {}).get(part) or {}
        if section.get(width) == FEATURES:
            # If there are no features of that name the stream reports it.
            section[width] = feature_dimension(root, values["scenario"]["feature_type"]) or 1


def _of_its_dataset(config: Config, root: Path) -> Config:
    """`config`, with a notice if `root` is not what its data_name says. Raises ConfigError if they cannot go."""
    faults = published_faults(config, root)
    if faults:
        raise ConfigError("\n".join(str(each) for each in faults))
    noted = misnamed(config, root)
    return replace(config, notices=(*config.notices, noted)) if noted else config
