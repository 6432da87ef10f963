"""Checks the dataset folder, W&B's login, and the folders that clearctl writes to."""

import os
from collections.abc import Iterator
from pathlib import Path

from clearctl import layout
from clearctl.data_names import DATA_NAMES, DEFAULT
from clearctl.doctor.checks import Check, ok, problem, warning
from clearctl.doctor.imports import Imported
from clearctl.doctor.machine import shown, write_fault
from clearctl.errors import DatasetError
from clearctl.wording import counted, first_line

DEFAULTS = tuple(dict.fromkeys(published.folder for published in DATA_NAMES.values()))


def named_root(dataset_root: Path | None) -> Path | None:
    """The dataset folder that the option or $CLEARCTL_DATASET_ROOT names; None if neither does."""
    variable = os.environ.get(layout.ROOT_VARIABLE)
    return dataset_root or (Path(variable) if variable else None)


def likely_root(dataset_root: Path | None) -> Path:
    """The folder that a command would use: the given one, else the first existing default, else the first."""
    there = (folder for folder in DEFAULTS if folder.is_dir())
    return named_root(dataset_root) or next(there, DATA_NAMES[DEFAULT].folder)


def check_dataset(dataset_root: Path | None) -> Iterator[Check]:
    """The named folder, which must exist; else each default folder that does."""
    named = named_root(dataset_root)
    if named is not None:
        yield _check_folder(named)
        return
    found = [folder for folder in DEFAULTS if folder.is_dir()]
    yield from map(_check_folder, found)
    if not found:
        places = " or ".join(map(str, DEFAULTS))
        text = f"none at {places}, and neither --dataset-root nor ${layout.ROOT_VARIABLE} is set"
        yield warning("dataset", text, f"clearctl download {DEFAULT}")


def _check_folder(root: Path) -> Check:
    try:
        if layout.bucket_indices_file(root).is_file():
            buckets = layout.read_bucket_indices(root)
            features = layout.feature_names(root)
            what = f"prepared, {counted(len(buckets), 'bucket')}"
            if features:
                what += f", features {', '.join(features)}"
            fault = write_fault(layout.training_folder(root))
            if fault:
                text = f"{root}: {what}; {fault}, so decoded images are kept in memory"
                return warning("dataset", text, "set data.cache_dir to a folder with more space")
            return ok("dataset", f"{root}: {what}")
        layout.labeled_folders(root)
    except (DatasetError, OSError) as error:
        return problem("dataset", first_line(error), f"clearctl download {DEFAULT}, or give another folder")
    return warning("dataset", f"{root}: not prepared", f"clearctl prepare-avalanche --dataset-root {root}")


def check_wandb(wandb: Imported) -> Iterator[Check]:
    """Whether runs with a WandBLogger would be uploaded; no network is asked."""
    mode = os.environ.get("WANDB_MODE")
    if wandb.error is not None:
        yield warning("W&B login", "unknown: wandb cannot be imported")
    elif mode:
        yield ok("W&B login", f"$WANDB_MODE is {mode!r}")
    elif wandb.facts_error is not None:
        yield warning("W&B login", f"unknown: {wandb.facts_error}")
    elif wandb.facts["logged_in"]:
        yield ok("W&B login", "logged in")
    else:
        yield ok("W&B login", "none: runs with a WandBLogger are kept offline", "wandb login")


def check_writing(torch: Imported) -> Iterator[Check]:
    """The folders that commands write to: runs, and weights that are downloaded."""
    fault = write_fault(Path("work_dirs"))
    if fault:
        yield warning("work_dirs", fault, "run in another folder, or choose one with --work-dir")
    else:
        yield ok("work_dirs", f"{shown(Path.cwd())} is writable")
    if "hub" in torch.facts:
        hub = Path(torch.facts["hub"])
        fault = write_fault(hub)
        if fault:
            yield warning("downloaded weights", fault, "export TORCH_HOME=DIR, a writable folder")
        else:
            yield ok("downloaded weights", f"kept in {shown(hub)}")
