"""A report for programs: JSON with everything, and CSV with a row for each group. Raw fractions, no percent."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from clearctl.jsontext import json_text
from clearctl.report.groups import Group, Spread, best
from clearctl.report.numbers import Numbers
from clearctl.report.remarks import remarks
from clearctl.report.runs import Run
from clearctl.report.tables import notes, setting_keys
from clearctl.report.uncertainty import Interval, intervals
from clearctl.report.view import DEFAULT, View


def render_json(groups: Sequence[Group], view: View = DEFAULT) -> str:
    """{"groups": [...], "best": {number: [labels]}, "notes": [...]}; a missing number is null.

    With a comparison there is "comparison" too, with confidence intervals each number has "ci": [low, high], and a
    title and a caption are included if they were given.
    """
    numbers, comparison = view.columns(groups), view.comparison
    value: dict[str, Any] = {
        **{name: text for name, text in (("title", view.title), ("caption", view.caption)) if text},
        "groups": [_group(group, numbers, view.ci) for group in groups],
        "best": {number: [groups[index].label for index in sorted(best(groups, number))] for number in numbers},
        "notes": notes(groups),
    }
    if comparison is not None:
        value["comparison"] = {
            "first": comparison.first,
            "second": comparison.second,
            "n": comparison.pairs,
            "numbers": {
                name: {"mean": found.mean, "std": found.std, "ci": comparison.intervals[name]}
                for name, found in comparison.differences.items()
                if name in numbers
            },
            "on_training_images": [name for name in numbers if name in comparison.on_training_images],
        }
    return json_text(value)


def render_csv(groups: Sequence[Group], view: View = DEFAULT) -> str:
    """A row for each group: its label, the runs that count, all runs, mean and std of each number, the settings.

    Then how many runs diverged, the protocol, the numbers that are on training images, and the notes, of which the
    first says what the numbers are. Each number has the ends of its confidence interval too where the view has these;
    a comparison is a last row, of n pairs. A title and a caption are lines before the heading that begin with "# ".
    """
    keys, ci, comparison = setting_keys(groups), view.ci, view.comparison
    numbers = view.columns(groups)
    parts = ("mean", "std", "ci_low", "ci_high") if ci else ("mean", "std")
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in (view.title, view.caption) if line)
    writer = csv.writer(text, lineterminator="\n")
    headings = [f"{number}_{part}" for number in numbers for part in parts]
    writer.writerow(["group", "n", "runs", *headings, *keys, "diverged", "protocol", "on_training_images", "notes"])
    units, found = units_of(numbers), remarks(groups)
    for index, group in enumerate(groups):
        values = _values(numbers, group.numbers, intervals(group) if ci else None)
        settings = [group.settings.get(key, "") for key in keys]
        texts = " | ".join([units, *(remark.text for remark in found if remark.group in (None, index))])
        marked = _names(numbers, group.on_training_images)
        after = [len(group.diverged), group.protocol or "", marked, texts]
        row = [group.label, len(group.counted), len(group.runs), *values, *settings, *after]
        writer.writerow(map(without_formula, row))
    if comparison is not None:
        values = _values(numbers, comparison.differences, comparison.intervals if ci else None)
        after = ["", "", _names(numbers, comparison.on_training_images), f"difference, paired by seed | {units}"]
        writer.writerow([comparison.label, comparison.pairs, comparison.pairs, *values, *("" for _ in keys), *after])
    return text.getvalue()


def units_of(numbers: Numbers) -> str:
    """The units of the summary `numbers` of a row, in a line."""
    nats = ", nll nats" if any(number.startswith("nll") for number in numbers) else ""
    return f"numbers are fractions, _s seconds{nats}; std is the sample standard deviation (n - 1) over n runs"


def render_long_csv(groups: Sequence[Group]) -> str:
    """A row per run, bucket trained on and bucket tested on, as data frames want it (tidy data).

    Buckets have their name and their number from 1. The rows of `trained_to_number` 0 are of the untrained model, and
    have no `trained_to`; they lack where a run did not keep them. `counted` says whether the group's means are of the
    run too. A matrix from a file has no seed and no strategy.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    tested = ("trained_to", "trained_to_number", "bucket", "bucket_number", "accuracy")
    writer.writerow(["group", "run", "seed", "strategy", "protocol", *tested, "counted", "diverged"])
    for group in groups:
        for run in group.runs:
            strategy = "" if run.foreign else run.values["cl_strategy"]["type"]
            before = [group.label, str(run.folder), run.seed, strategy, run.protocol]
            after = [_boolean(any(run is other for other in group.counted)), _boolean(run.diverged is not None)]
            rows = [("", 0, run.untrained)] if run.untrained else []
            for number, row in enumerate(run.matrix.tolist(), 1):
                rows.append((run.bucket_names[number - 1], number, row))
            for name, number, row in rows:
                for place, (bucket, accuracy) in enumerate(zip(run.bucket_names, row, strict=True), 1):
                    cells = [*before, name, number, bucket, place, repr(float(accuracy)), *after]
                    writer.writerow(map(without_formula, cells))
    return text.getvalue()


def _boolean(value: bool) -> str:
    """As pandas and R both read it."""
    return "TRUE" if value else "FALSE"


def without_formula(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a name such as `=1+1` gets an apostrophe in front of it."""
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def _values(numbers: Numbers, spreads: Mapping[str, Spread], ends: Mapping[str, Interval | None] | None) -> list[str]:
    """Mean and std of each number, and with `ends` those of its interval; empty if there is none."""
    values: list[float | None] = []
    for number in numbers:
        spread = spreads.get(number)
        values += [spread.mean, spread.std] if spread else [None, None]
        if ends is not None:
            values += ends.get(number) or (None, None)
    return ["" if value is None or math.isnan(value) else repr(float(value)) for value in values]


def _names(numbers: Numbers, marked: frozenset[str]) -> str:
    return " ".join(name for name in numbers if name in marked)


def _group(group: Group, numbers: Numbers, ci: bool) -> dict[str, Any]:
    ends = {name: {"ci": found} for name, found in intervals(group).items()} if ci else {}
    return {
        "label": group.label,
        "n": len(group.counted),
        "buckets": group.bucket_names,
        "numbers": {
            name: {"mean": group.numbers[name].mean, "std": group.numbers[name].std, **ends.get(name, {})}
            for name in numbers
            if name in group.numbers
        },
        "protocol": group.protocol,
        "on_training_images": [name for name in numbers if name in group.on_training_images],
        "diverged": len(group.diverged),
        "mean": group.mean.tolist(),
        "std": None if group.std is None else group.std.tolist(),
        "settings": group.settings,
        "runs": [_run(run, numbers, counted=any(run is other for other in group.counted)) for run in group.runs],
    }


def _run(run: Run, numbers: Numbers, counted: bool) -> dict[str, Any]:
    return {
        "folder": str(run.folder),
        "seed": run.seed,
        "finished": run.finished,
        "counted": counted,
        "diverged": run.diverged,
        "numbers": {name: value for name, value in run.numbers.items() if name in numbers},
        "accuracy_matrix": run.matrix.tolist(),
        "untrained": run.untrained,
    }
