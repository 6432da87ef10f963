"""The section of a page for one group: its matrix as coloured cells, charts, tables of config, environment, runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from clearctl.config.load import flatten
from clearctl.config.protocol import STREAMING
from clearctl.metrics import HEADLINE, Matrix
from clearctl.metrics import NUMBERS as METRICS
from clearctl.report.charts import ChartLine, line_chart, nice_ticks
from clearctl.report.classes import ClassAccuracies
from clearctl.report.colours import Scale, line_step
from clearctl.report.curves import training_charts, training_curves
from clearctl.report.groups import NONE, Group, settings_of, shown
from clearctl.report.labels import one_line
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.runs import Run
from clearctl.report.tables import Cell, matrix_cells, summary
from clearctl.wording import plural

# The keys that differ for each run by their nature.
_OWN = ("dataset.fingerprint", "wandb_run", "mlflow_run")
_NOT_THERE = "missing"
_MOST_LETTERS = 300  # of a value


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heatmap: its colour (None if there is no value), what it says, and whether it is marked."""

    step: int | None
    value: Cell
    marked: bool = False


@dataclass(frozen=True)
class HeatTable:
    """A heatmap: (name, cells) of each row."""

    title: str
    columns: list[str]
    rows: list[tuple[str, list[HeatCell]]]


@dataclass(frozen=True)
class Entry:
    """A key with each of its values in the runs of a group, and the seeds of those that have it if not all do."""

    key: str
    values: list[tuple[str, str]]
    notable: bool


@dataclass(frozen=True)
class RunRow:
    """A run of a group, with its seed as text, and its numbers in the order of the page's."""

    seed: str
    folder: str
    state: str
    numbers: list[str]


@dataclass(frozen=True)
class Section:
    """All that the page shows of a group."""

    group: Group
    headline: str
    matrix: HeatTable
    swatches: list[tuple[int, str]]
    charts: list[tuple[str, Markup]]
    curves: list[tuple[str, Markup]]
    classes: list[HeatTable]
    config: list[Entry]
    environment: list[Entry]
    runs: list[RunRow]


def group_section(
    group: Group, classes: ClassAccuracies | None, scale: Scale, class_scale: Scale, numbers: Numbers = NUMBERS
) -> Section:
    """The page's section on `group`; the scales are those of all groups, so that colours can be compared."""
    curves = training_curves(group.counted)
    count = len(group.bucket_names)
    return Section(
        group=group,
        headline=_headline(group),
        matrix=_matrix(group, scale),
        swatches=[(line_step(i, count), name) for i, name in enumerate(group.bucket_names)],
        charts=[*(accuracy_charts(group) if count > 1 else []), *anytime_charts(group)],
        curves=[] if curves is None else training_charts(curves),
        classes=[] if classes is None else _class_tables(group, classes, class_scale),
        config=_config(group),
        environment=_environment(group),
        runs=[_run_row(group, run, numbers) for run in group.runs],
    )


def _headline(group: Group) -> str:
    """The number that stands for the group; "" if it has none."""
    number = METRICS[HEADLINE]
    if HEADLINE not in group.numbers:
        return ""
    cell = summary([group], {HEADLINE: number})[0][0].text()
    return f"{number.title} {cell}{' %' if number.unit == 'fraction' else ''}"


def sorted_by(group: Group, number: str) -> float | None:
    """The sort key of the group in the column of a number; None for NaN and if there is none."""
    found = group.numbers.get(number)
    return None if found is None or np.isnan(found.mean) else found.mean


def accuracy_charts(group: Group) -> list[tuple[str, Markup]]:
    """(title, chart): each bucket's accuracy during training, and each model's over the buckets it is tested on."""
    names, count, trained = group.bucket_names, len(group.bucket_names), len(group.mean)
    values = [[_with_percent(cell) for cell in row] for row in matrix_cells(group)]
    of_buckets = [
        ChartLine(
            range(trained),
            (100 * group.mean[:, j]).tolist(),
            f"c{line_step(j, count)}",
            f"bucket {names[j]}",
            [f"bucket {names[j]}, trained to {names[i]}: {values[i][j]}" for i in range(trained)],
            marked=j,
        )
        for j in range(count)
    ]
    of_models = [
        ChartLine(
            range(count),
            (100 * group.mean[i]).tolist(),
            f"c{line_step(i, count)}",
            f"trained to bucket {names[i]}",
            [f"trained to {names[i]}, bucket {names[j]}: {values[i][j]}" for j in range(count)],
            marked=i,
        )
        for i in range(trained)
    ]
    ticks = [(float(i), name) for i, name in enumerate(names)]
    return [
        (title, line_chart(lines, title=title, x_label=label, y_label="accuracy (%)", x_ticks=ticks, at_most=100))
        for title, label, lines in (
            ("Accuracy on each bucket as training continues", "trained to bucket", of_buckets),
            ("Accuracy of each model over the test buckets", "tested on bucket", of_models),
        )
    ]


def anytime_charts(group: Group) -> list[tuple[str, Markup]]:
    """(title, chart) of the anytime accuracy of each run that counts and has measured it."""
    curves = [(run.seed, run.measured["anytime"]) for run in group.counted if "anytime" in run.measured]
    if not curves:
        return []
    lines = [
        ChartLine(
            curve[:, 0].tolist(),
            (100 * curve[:, 1]).tolist(),
            f"c{line_step(number, len(curves))}",
            f"seed {seed}",
            [f"seed {seed}, {samples:,.0f} samples: {100 * accuracy:.1f} %" for samples, accuracy in curve.tolist()],
        )
        for number, (seed, curve) in enumerate(curves)
    ]
    title = "Accuracy on the buckets so far, during the stream"
    first, last = min(line.x[0] for line in lines), max(line.x[-1] for line in lines)
    ticks = [(tick, f"{tick:,.0f}") for tick in nice_ticks(first, last) if first <= tick <= last]
    x_label, y_label = "samples seen", "accuracy (%)"
    return [(title, line_chart(lines, title=title, x_label=x_label, y_label=y_label, x_ticks=ticks, at_most=100))]


def _with_percent(cell: Cell) -> str:
    return f"{cell.text()} %"


def _matrix(group: Group, scale: Scale) -> HeatTable:
    """A row per bucket of the stream; those that are not trained on yet are empty."""
    names = group.bucket_names
    rows = [
        [
            HeatCell(scale.step(mean), cell, marked=i == j)
            for j, (mean, cell) in enumerate(zip(means, cells, strict=True))
        ]
        for i, (means, cells) in enumerate(zip(group.mean.tolist(), matrix_cells(group), strict=True))
    ]
    rows += [[HeatCell(None, Cell("", ""))] * len(names)] * (len(names) - len(rows))
    title = "Accuracy (%) after training to a bucket (rows), on each bucket’s test images (columns)"
    if group.protocol == STREAMING:
        which = "all of it is" if "next_domain" in group.on_training_images else "the diagonal and below it are"
        title = f"Accuracy (%) after training to a bucket (rows), on each bucket (columns): {which} on training images"
    return HeatTable(title, names, list(zip(names, rows, strict=True)))


def _class_tables(group: Group, classes: ClassAccuracies, scale: Scale) -> list[HeatTable]:
    """The tables of the class accuracies that were measured."""
    over = "as the mean over all buckets" if classes.over_buckets else "on all test images"
    measured = (
        (f"{over}, trained to each bucket", classes.over_time, group.bucket_names[: len(group.mean)]),
        ("of the last model, on each bucket", classes.at_end, group.bucket_names),
    )
    return [
        HeatTable(f"Accuracy (%) of each class {title}", columns, _class_rows(classes.names, matrix, scale))
        for title, matrix, columns in measured
        if matrix is not None
    ]


def _class_rows(names: Sequence[str], matrix: Matrix, scale: Scale) -> list[tuple[str, list[HeatCell]]]:
    rows = [
        [HeatCell(None if np.isnan(value) else scale.step(value), Cell(shown("accuracy", value), "")) for value in row]
        for row in matrix.tolist()
    ]
    return list(zip(names, rows, strict=True))


def _config(group: Group) -> list[Entry]:
    """The configs of the runs; what other groups of the report have otherwise is notable."""
    return _entries(group.runs, [settings_of(run) for run in group.runs], lambda key, _: key in group.settings)


def _environment(group: Group) -> list[Entry]:
    """The environments of the runs; entries that are not the same for all of them are notable."""
    flat = []
    for run in group.runs:
        known = {key: value for key, value in flatten(run.environment) if value is not None and key != "seed"}
        flat.append({key: value for key, value in known.items() if not key.startswith("dataset.class_names")})
    return _entries(group.runs, flat, lambda key, differs: differs and key not in _OWN)


def _entries(runs: Sequence[Run], flat: Sequence[dict[str, Any]], notable: Callable[[str, bool], bool]) -> list[Entry]:
    """An entry for each key of any run; `notable(key, whether the runs differ in it)` says what stands out."""
    entries = []
    for key in dict.fromkeys(key for values in flat for key in values):
        having: dict[str, list[int]] = {}
        for run, values in zip(runs, flat, strict=True):
            having.setdefault(_text(values[key]) if key in values else _NOT_THERE, []).append(run.seed or 0)
        differs = len(having) > 1
        values_of_key = [(text, _seeds(seeds) if differs else "") for text, seeds in having.items()]
        entries.append(Entry(key, values_of_key, notable(key, differs)))
    return entries


def _text(value: Any) -> str:
    """A value in one line that is not endless; an empty text is shown as one."""
    text = one_line(value) or repr(value)
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _seeds(seeds: Sequence[int]) -> str:
    different = sorted(set(seeds))
    return f"{plural('seed', len(different))} {', '.join(map(str, different))}"


def _run_row(group: Group, run: Run, numbers: Numbers) -> RunRow:
    done, total = len(run.matrix), len(run.bucket_names)
    state = "finished" if run.finished else f"not finished: {done} of {total} buckets"
    if all(run is not counted for counted in group.counted):
        state += ", not in the means"
    if run.diverged is not None:
        state += f", diverged in bucket {run.diverged['bucket']}"
    if run.foreign:
        state = "from a file"
    texts = [shown(number, run.numbers[number]) if number in run.numbers else NONE for number in numbers]
    return RunRow(NONE if run.seed is None else str(run.seed), str(run.folder), state, texts)
