"""Suggestions in error messages: for a misspelled name, and for a missing file."""

import difflib
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

# The numbers of levels above the missing file's folder, and of sibling folders, to search.
_LEVELS = 3
_MOST_FOLDERS = 500


def closest(name: str, candidates: Collection[str]) -> str:
    """`; did you mean 'x'?` for the nearest candidate, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]!r}?" if near else ""


def nearby_file(missing: Path, *, seen_from: Path | None = None, but: Iterable[Path] = ()) -> str:
    """`; did you mean 'x'?` for a file like the `missing` one, or an empty string.

    The candidates: a file in its folder with almost the same name, then one with the same name in a nearby folder, then
    one in its folder with a similar name; always with the same suffix. The path is shown relative to the folder
    `seen_from`; if that is None, absolute or relative as `missing` is. `but` are files to exclude. Raises nothing.
    """
    others = {file.resolve() for file in but}
    found = next((file for file in _candidates(missing) if file.resolve() not in others), None)
    if found is None:
        return ""
    shown = os.path.normpath(found) if seen_from is None else os.path.relpath(found, seen_from)
    return f"; did you mean {shown!r}?"


def _candidates(missing: Path) -> Iterator[Path]:
    yield from _alike(missing, 0.8)
    yield from _of_that_name(missing)
    yield from _alike(missing, 0.6)


def _alike(missing: Path, cutoff: float) -> list[Path]:
    """Files of the same folder and suffix, those with the most similar names first."""
    by_stem: dict[str, Path] = {}
    with suppress(OSError):
        files = [file for file in missing.parent.iterdir() if file.suffix == missing.suffix and file.is_file()]
        by_stem = {file.stem.lower(): file for file in sorted(files)}
    return [by_stem[stem] for stem in difflib.get_close_matches(missing.stem.lower(), by_stem, n=3, cutoff=cutoff)]


def _of_that_name(missing: Path) -> Iterator[Path]:
    """Files with that name in the parent folders and their siblings; first those whose folder has the same name too."""
    above = [Path(os.path.normpath(missing.parent.joinpath(*[".."] * level))) for level in range(_LEVELS + 1)]
    above = [folder for folder in above if os.path.abspath(folder) != os.path.abspath(os.sep)]
    for tail in (Path(missing.absolute().parent.name, missing.name), Path(missing.name)):
        yield from (folder / tail for folder in above if (folder / tail).is_file())
    for folder in above:
        yield from (file for below in _folders(folder) if (file := below / missing.name).is_file())


def _folders(folder: Path) -> list[Path]:
    with suppress(OSError):
        visible = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        return [entry for entry in visible if entry.is_dir()][:_MOST_FOLDERS]
    return []
