"""A folder of checkpoints, one for each bucket: the form in which CLEAR's challenge takes a submission.

exp_1.pth ... exp_10.pth, or 1.pth ... 10.pth, or any names that differ in one number
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from clearctl import checksums
from clearctl.errors import RunError
from clearctl.wording import counted, few

SUFFIXES = (".pth", ".pt", ".ckpt", ".tar")


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in `folder` in the order of the one number in which their names differ, 9 before 10.

    Hidden files are left out, and the sums that a run writes beside its checkpoints. Raises RunError, which names them,
    for other files, for names that do not differ in one number alone, for a number twice and for one left out.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith(".") and name != checksums.NAME)
    except FileNotFoundError:
        raise RunError(f"no folder of checkpoints at {folder}") from None
    except OSError as error:
        raise RunError(f"{folder} cannot be read as a folder of checkpoints: {error.strerror}") from None
    found = [name for name in names if name.endswith(SUFFIXES) and (folder / name).is_file()]
    others = [name for name in names if name not in found]
    if not found:
        raise RunError(f"{folder} has no checkpoints: expected one for each bucket, such as exp_1.pth, exp_2.pth")
    if others:
        raise RunError(
            f"{folder} contains other files than checkpoints: {few(others)}\nmove them, or give another folder"
        )
    numbers = _numbers(folder, found)
    for number, times in Counter(numbers.values()).items():
        if times > 1:
            same = [name for name in found if numbers[name] == number]
            raise RunError(f"{folder} has {few(same)} with the same number: expected one checkpoint for each bucket")
    ordered = sorted(found, key=lambda name: numbers[name])
    first, last = numbers[ordered[0]], numbers[ordered[-1]]
    lacking = last - first + 1 - len(ordered)
    if lacking:
        gap = next(number for number in range(first, last) if number not in numbers.values())
        more = f" and {lacking - 1} more" if lacking > 1 else ""
        raise RunError(f"{folder} has {ordered[0]} to {ordered[-1]} but lacks number {gap}{more}")
    return [folder / name for name in ordered]


def require_one_each(files: Sequence[Path], bucket_names: Sequence[str]) -> None:
    """Raise RunError, naming both, unless there are as many `files` as buckets."""
    if len(files) != len(bucket_names):
        raise RunError(
            f"{files[0].parent} has {counted(len(files), 'checkpoint')}, {files[0].name} to "
            f"{files[-1].name}, but the stream has {len(bucket_names)} buckets: {', '.join(bucket_names)}\n"
            "expected one per bucket; choose the buckets to test with scenario.buckets"
        )


def _numbers(folder: Path, names: Sequence[str]) -> dict[str, int]:
    """{name: the number in which it differs from the others}."""
    if len(names) == 1:
        return {names[0]: 0}
    parts = {name: re.split(r"(\d+)", name) for name in names}
    first = parts[names[0]]
    for name in names[1:]:
        if parts[name][::2] != first[::2]:
            raise RunError(f"{folder}: {names[0]} and {name} must differ in one number only, which gives their order")
    places = {
        place for of_name in parts.values() for place in range(1, len(first), 2) if of_name[place] != first[place]
    }
    if len(places) != 1:
        raise RunError(f"{folder}: {names[0]} and {names[-1]} must differ in one number only, which gives their order")
    (place,) = places
    return {name: int(of_name[place]) for name, of_name in parts.items()}
