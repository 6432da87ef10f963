"""Checks of arguments that several commands share. Invalid ones raise UsageError."""

import os
from collections.abc import Sequence
from pathlib import Path

from clearctl.errors import DatasetError, UsageError


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise UsageError unless the seeds are distinct ints ≥ 0."""
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UsageError(f"the seed {seed!r} is not a whole number ≥ 0")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"a seed is given twice: {', '.join(map(str, seeds))}")


def choose_buckets(root: Path, present: Sequence[str], wanted: Sequence[str | int] | None) -> tuple[str, ...]:
    """The wanted buckets in the order of `present`, all when None. Raises UsageError for others, none, or one twice."""
    if wanted is None:
        return tuple(present)
    # A lone string is a sequence of its digits: "10" would mean buckets 1 and 0.
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    unknown = [name for name in names if name not in present]
    if unknown:
        raise UsageError(f"{root} has no bucket {', '.join(unknown)}; it has {', '.join(present)}")
    if not names:
        raise UsageError("--buckets is empty; leave it out to use all buckets")
    if len(set(names)) < len(names):
        raise UsageError(f"--buckets lists a bucket twice: {', '.join(names)}")
    return tuple(name for name in present if name in names)


def require_new_folder(output: Path, *, ignored: tuple[str, ...] = ()) -> None:
    """Check that `output` does not exist, or contains only names that begin with one of `ignored`.

    Raises UsageError otherwise, DatasetError if it cannot be read.
    """
    try:
        there = sorted(name for name in os.listdir(output) if not name.startswith(ignored))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise UsageError(f"--output {output} is a file: choose a new folder") from None
    except OSError as error:
        raise DatasetError(f"{output} cannot be read: {error.strerror}") from None
    if there:
        raise UsageError(f"--output {output} is a folder that contains other files ({there[0]}): choose a new one")
