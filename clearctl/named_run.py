"""What a path means where a run folder, or a config, is expected: it, or an error that says what it is instead."""

from collections.abc import Iterator
from pathlib import Path

from clearctl import layout, rundir
from clearctl.errors import RunError
from clearctl.wording import few

_LEVELS = 2  # below a folder, in which runs are searched: work_dirs/<name>/<run>


def require_run(path: Path) -> None:
    """Raise RunError if `path` is not a run folder; it says what is there, and which runs are below it."""
    if rundir.is_run(path):
        return
    if not path.is_dir():
        raise RunError(f"no run folder at {path}: found {'a file' if path.exists() else 'nothing'}")
    text = f"{path} is not a run folder: it has no config.py and environment.json"
    runs = [str(run.relative_to(path)) for run in _runs_below(path)]
    if runs:
        text += f"\ngive one of the runs in it: {few(runs)}"
    elif is_dataset(path):
        text += "\nit is a dataset folder, which commands take as --dataset-root DIR"
    raise RunError(text)


def folder_as_config(path: Path) -> str:
    """Why the folder `path` is not a config, and what to do, in two lines."""
    if rundir.is_run(path):
        here = f"its config is {rundir.config_file(path)}"
        return f"{path} is a run folder, not a config file\n{here}; `clearctl resume {path}` continues it"
    if is_dataset(path):
        return f"{path} is a dataset folder, not a config file\ngive it as --dataset-root {path}"
    return f"{path} is a folder, not a config file\ngive one of the files in it"


def is_dataset(folder: Path) -> bool:
    """Whether `folder` is one of labelled images, or one that was prepared."""
    return layout.is_labeled(folder) or layout.bucket_indices_file(folder).is_file()


def _runs_below(folder: Path) -> Iterator[Path]:
    """The runs up to `_LEVELS` below, in the order of their names."""
    level = [folder]
    for _ in range(_LEVELS):
        level = [below for above in level for below in _folders(above)]
        yield from (below for below in level if rundir.is_run(below))


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError:
        return []
