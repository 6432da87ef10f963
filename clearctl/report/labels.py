"""Short labels for the groups of a report: the name of their runs, and the settings that distinguish them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from clearctl.errors import UsageError
from clearctl.nearby import closest
from clearctl.report.runs import Run

MOST_LETTERS = 32  # of a setting in a label
_MOST_DIGITS = 8  # of a number in a label
PART = ", "  # between the parts of a label
_DIGESTS = ("dataset.", "weights.")  # of what a group learned from: they say less than a name

# (name, the text of each group; None if a group has nothing to say of it)
_Part = tuple[str, list[str | None]]


def automatic_labels(members: Sequence[tuple[Run, Mapping[str, Any]]]) -> list[str]:
    """A label for each group, of which `members` has a run and {dotted key: value} of what differs.

    It is the run's name, and for groups of one name the fewest settings in which they differ, each as `lr=0.1` and the
    strategy by its name alone; a setting that a group lacks is not mentioned. Groups with equal settings are
    distinguished by their buckets, their dataset or, finally, the folder of their runs. No two labels are equal.
    """
    names = [_name(run) for run, _ in members]
    labels = [""] * len(members)
    for name in dict.fromkeys(names):
        alike = [index for index, other in enumerate(names) if other == name]
        parts = _distinguishing([members[index] for index in alike]) if len(alike) > 1 else []
        keys = _short_keys([key for key, _ in parts])
        for place, index in enumerate(alike):
            texts = ((keys[key], values[place]) for key, values in parts)
            own = [f"{key}={text}" if key else text for key, text in texts if text is not None]
            labels[index] = PART.join([name, *own])
    for index, (run, _) in enumerate(members):  # a name may look like another with its settings
        if labels.count(labels[index]) > 1:
            labels[index] = f"{labels[index]} ({one_line(run.folder)})"
    return labels


def renamed(labels: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The labels with what `texts`, each "KEY=TEXT", say instead; KEY is a label or one of the parts of labels.

    Raises UsageError for a KEY that is neither, with those that there are, for an empty TEXT, and for two groups of one
    label.
    """
    found = list(labels)
    parts = list(dict.fromkeys(part for label in labels for part in label.split(PART)))
    known = dict.fromkeys([*labels, *parts])
    for given in texts:
        # A key may have its own equals sign: "lr=0.1=slow".
        ends = [index for index, letter in enumerate(given) if letter == "="]
        end = next((index for index in reversed(ends) if given[:index] in known), None)
        if end is None or not given[end + 1 :].strip():
            what = "expected KEY=TEXT" if end is not None or not ends else "no such label, or part of one"
            hint = closest(given.partition("=")[0], list(known)) if ends and end is None else ""
            raise UsageError(f"--label {given}: {what}{hint}\nKEY is one of: {'; '.join(known)}")
        key, text = given[:end], one_line(given[end + 1 :])
        for index, label in enumerate(labels):
            if key == label:
                found[index] = text
            elif key not in labels:
                found[index] = PART.join(text if part == key else part for part in found[index].split(PART))
    twice = next((label for label in found if found.count(label) > 1), None)
    if twice is not None:
        raise UsageError(
            f"--label: {found.count(twice)} groups would have the label {twice!r}: give each a different one"
        )
    return found


def one_line(value: Any) -> str:
    """`value` as text that breaks no line and no table: what cannot be printed is a blank."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def _name(run: Run) -> str:
    """The run's name; of one tested on validation images it says so wherever the label is shown."""
    return one_line(f"{run.name} (validation)" if run.on_validation_images else run.name)


def _distinguishing(members: Sequence[tuple[Run, Mapping[str, Any]]]) -> list[_Part]:
    """The fewest parts that set all of `members` apart, in the order in which settings come."""
    keys = dict.fromkeys(key for _, own in members for key in own)
    settings = [_setting(key, members) for key in keys if not key.startswith(_DIGESTS)]
    digests = [_setting(key, members) for key in keys if key.startswith(_DIGESTS)]
    runs = [run for run, _ in members]
    buckets: _Part = ("buckets", [_buckets(run) for run in runs])
    dataset: _Part = ("dataset", [_dataset(run) for run in runs])
    stages = [settings, [buckets], [dataset], digests, [("", _folders(runs))]]
    chosen: list[_Part] = []
    for candidates in stages:
        chosen += _choose(candidates, chosen, len(members))
    return sorted(chosen, key=[part for candidates in stages for part in candidates].index)


def _choose(candidates: Sequence[_Part], chosen: Sequence[_Part], count: int) -> list[_Part]:
    """The candidates that, with `chosen`, distinguish the most of `count` groups; chosen one after the other."""
    found: list[_Part] = []

    def kinds(*parts: _Part) -> int:
        return len(set(zip(*(texts for _, texts in parts), strict=True))) if parts else 1

    while (before := kinds(*chosen, *found)) < count:
        # Of several that are as good: that which the most groups have, and which comes first.
        best = max(
            candidates,
            key=lambda part: (kinds(*chosen, *found, part), sum(text is not None for text in part[1])),
            default=None,
        )
        if best is None or kinds(*chosen, *found, best) == before:
            break
        found.append(best)
    return found


def _setting(key: str, members: Sequence[tuple[Run, Mapping[str, Any]]]) -> _Part:
    """Its values as texts, shortened if they stay distinct."""
    full = [one_line(own[key]) if key in own else None for _, own in members]
    rounded = [_rounded(own[key]) if key in own else None for _, own in members]
    for shorten, texts in ((_head, rounded), (_head, full), (_tail, full)):
        short = [None if text is None else shorten(text) for text in texts]
        if len(set(short)) == len(set(full)):
            return key, short
    return key, full


def _rounded(value: Any) -> str:
    """0.15000000000000002 as 0.15."""
    text = one_line(value)
    return f"{value:g}" if isinstance(value, float) and len(text) > _MOST_DIGITS else text


def _head(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 3]}..."


def _tail(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"...{text[3 - MOST_LETTERS :]}"


def _short_keys(keys: Sequence[str]) -> dict[str, str]:
    """{dotted key: as few of its last parts as no other of `keys` ends in}; "" for what stands without a key."""
    short = {}
    for key in keys:
        parts = [part for part in key.split(".") if part]
        if parts[-1:] == ["type"] and len(parts) > 1:
            parts.pop()  # "optimizer=SGD" says it
        count = next(
            (
                count
                for count in range(1, len(parts) + 1)
                if not parts[-count].isdecimal()
                and not any(_ends(other, parts[-count:]) for other in keys if other != key)
            ),
            len(parts),
        )
        short[key] = "" if key == "cl_strategy.type" else ".".join(parts[-count:])
    return short


def _ends(key: str, end: Sequence[str]) -> bool:
    parts = key.removesuffix(".type").split(".")
    return parts[-len(end) :] == list(end)


def _buckets(run: Run) -> str:
    names = run.bucket_names
    return one_line(names[0]) if len(names) == 1 else one_line(f"{names[0]}–{names[-1]}")


def _dataset(run: Run) -> str | None:
    """The name of the dataset's folder."""
    root = run.environment["dataset"].get("root") or run.values.get("scenario", {}).get("dataset_root")
    return one_line(Path(str(root)).name) if root else None


def _folders(runs: Sequence[Run]) -> list[str | None]:
    """Each run's folder, or that of a matrix's file, without what is above all of them."""
    folders = [os.path.abspath(run.folder.parent if run.foreign else run.folder) for run in runs]
    above = os.path.dirname(os.path.commonprefix([f"{folder}{os.sep}" for folder in folders]))
    names = (os.path.relpath(folder, above) for folder in folders)
    return [
        one_line(os.path.basename(folder) if name == "." else name) for name, folder in zip(names, folders, strict=True)
    ]
