"""The arguments of `extract-features` that can be checked before anything is read."""

import re
from pathlib import Path

from clearctl.config.keys import PRECISIONS
from clearctl.engine.machine import check_batches
from clearctl.errors import UsageError
from clearctl.wording import any_of

CACHES = ("auto", "off")


def check_arguments(
    precision: str,
    batch_size: int | None,
    workers: int | None,
    checkpoint: Path | str | None,
    weights: str | None,
    cache: str,
    cache_dir: Path | str | None,
) -> None:
    """Raise UsageError for a value that is invalid."""
    if precision not in PRECISIONS:
        raise UsageError(f"--precision {precision}: expected {any_of(PRECISIONS)}")
    check_batches(batch_size, workers)
    if weights not in (None, "default", "none"):
        raise UsageError(f"--weights {weights}: expected default or none; give a file with --checkpoint")
    if checkpoint is not None and weights is not None:
        raise UsageError("--weights and --checkpoint exclude each other: give one of them")
    if cache not in CACHES:
        raise UsageError(f"--cache {cache}: expected {any_of(CACHES)}")
    if cache == "off" and cache_dir is not None:
        raise UsageError("--cache-dir has no effect with --cache off: leave it out")
    if cache_dir is not None and not Path(cache_dir).is_dir():
        raise UsageError(f"--cache-dir {cache_dir}: no such folder")


def check_name(name: str) -> str:
    """Raise UsageError unless `name` can be a folder's name and be written in a config unchanged."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", name):
        raise UsageError(f"--name {name}: expected letters, digits and . _ + - , as in resnet50_b0")
    return name
