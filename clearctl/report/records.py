"""A report for programs: JSON with everything, and CSV with a row for each group. Raw fractions, no percent."""

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

from clearctl.jsontext import json_text
from clearctl.report.groups import Group, best
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.runs import Run
from clearctl.report.tables import notes, setting_keys


def render_json(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> str:
    """{"groups": [...], "best": {number: [labels]}, "notes": [...]}; a number that there is none of is null."""
    value = {
        "groups": [_group(group, numbers) for group in groups],
        "best": {number: [groups[index].label for index in sorted(best(groups, number))] for number in numbers},
        "notes": notes(groups),
    }
    return json_text(value)


def render_csv(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> str:
    """A row for each group: its label, the runs that count, all runs, mean and std of each number, the settings."""
    keys = setting_keys(groups)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    headings = [f"{number}_{part}" for number in numbers for part in ("mean", "std")]
    writer.writerow(["group", "n", "runs", *headings, *keys])
    for group in groups:
        found = (group.numbers.get(number) for number in numbers)
        values = [value for spread in found for value in ((spread.mean, spread.std) if spread else (None, None))]
        shown = ["" if value is None or math.isnan(value) else repr(float(value)) for value in values]
        settings = [group.settings.get(key, "") for key in keys]
        writer.writerow([group.label, len(group.counted), len(group.runs), *shown, *settings])
    return text.getvalue()


def _group(group: Group, numbers: Numbers) -> dict[str, Any]:
    return {
        "label": group.label,
        "n": len(group.counted),
        "buckets": group.bucket_names,
        "numbers": {
            name: {"mean": found.mean, "std": found.std} for name, found in group.numbers.items() if name in numbers
        },
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
        "numbers": {name: value for name, value in run.numbers.items() if name in numbers},
        "accuracy_matrix": run.matrix.tolist(),
        "untrained": run.untrained,
    }
