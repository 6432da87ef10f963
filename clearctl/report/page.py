"""A report as one self-contained HTML page: no network, no font, no library."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from clearctl import atomic, rundir
from clearctl.config.protocol import protocol_of
from clearctl.report import colours
from clearctl.report.classes import class_accuracies
from clearctl.report.groups import Group, group_runs
from clearctl.report.overview import comparison_charts, comparison_keys
from clearctl.report.remarks import DAGGER
from clearctl.report.runs import Run, read_run
from clearctl.report.sections import group_section, sorted_by
from clearctl.report.series import MOST_LINES
from clearctl.report.tables import (
    IN_BOLD,
    MOST_COLUMNS,
    extra_tables,
    families,
    heading,
    headings,
    is_marked,
    notes,
    setting,
    setting_keys,
    summary,
)
from clearctl.report.thumbnails import sample_images
from clearctl.report.view import DEFAULT, View
from clearctl.version import __version__
from clearctl.wording import counted

MOST_OPEN_GROUPS = 2  # of more, each is folded


def render_page(groups: Sequence[Group], view: View = DEFAULT) -> str:
    """The page of `groups`: a summary, and for each its matrix, curves, config, environment and runs.

    Where the folder of a dataset is still there, some of its images are in the page.
    """
    classes = [class_accuracies(group) for group in groups]
    of_classes = [found.values for found in classes if found is not None]
    scale = colours.scale_of([group.mean for group in groups])
    class_scale = colours.scale_of([matrix for matrices in of_classes for matrix in matrices])
    keys = setting_keys(groups)
    numbers = view.columns(groups)
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=view.title or _title(groups),
            caption=view.caption,
            charts=comparison_charts(groups),
            keys=comparison_keys(groups),
            left_out=max(0, len(groups) - MOST_LINES),
            facts=_facts(groups),
            notes=notes(groups),
            colours=colours.style(),
            numbers=numbers,
            families=families(numbers),
            titles=headings(numbers),
            heading=heading(groups),
            in_bold=IN_BOLD,
            marks={name: DAGGER if is_marked(groups, name) else "" for name in numbers},
            extras=extra_tables(groups, numbers, ci=view.ci, comparison=view.comparison),
            setting_columns=keys if len(keys) <= MOST_COLUMNS else [],
            settings_apart=keys if len(keys) > MOST_COLUMNS else [],
            setting=setting,
            sorted_by=sorted_by,
            rows=list(zip(groups, summary(groups, numbers), strict=True)),
            samples=sample_images([run for group in groups for run in group.runs]),
            sections=[group_section(*each, scale, class_scale, numbers) for each in zip(groups, classes, strict=True)],
            scale=scale,
            class_scale=class_scale,
            heat_steps=colours.HEAT_STEPS,
            folded=len(groups) > MOST_OPEN_GROUPS,
            version=__version__,
        )
    )


def write_run_page(run: Path) -> None:
    """Write the page of a single run into its folder. Raises RunError for what is not a run, and OSError."""
    atomic.write_text(rundir.report_file(run), render_page(group_runs([read_run(run)])))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("clearctl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _title(groups: Sequence[Group]) -> str:
    if len(groups) == 1:
        return groups[0].label
    return f"{counted(sum(len(group.runs) for group in groups), 'run')} in {counted(len(groups), 'group')}"


def _facts(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """(name, value) of what all is about."""
    every = [run for group in groups for run in group.runs]
    runs = [run for run in every if not run.foreign]
    if not runs:
        return [("matrices", _listed(run.name for run in every))]
    versions = (str(run.environment.get("clearctl", "?")) for run in runs)
    return [
        ("runs", str(len(runs))),
        ("seeds", _listed(map(str, sorted({run.seed for run in runs if run.seed is not None})))),
        ("dataset", _listed(map(_dataset, runs))),
        ("protocol", _listed(map(_protocol, runs))),
        ("trained with clearctl", _listed(versions)),
        *([("from files", _listed(run.name for run in every if run.foreign))] if len(every) > len(runs) else []),
    ]


def _dataset(run: Run) -> str:
    """Its name, with the number of buckets and classes."""
    scenario, known = run.values["scenario"], run.environment["dataset"]
    name = scenario.get("data_name") or Path(str(known.get("root") or scenario.get("dataset_root"))).name
    parts = [counted(len(run.bucket_names), "bucket")]
    if known.get("class_names"):
        parts.append(counted(len(known["class_names"]), "class"))
    return f"{name} ({', '.join(parts)})"


def _protocol(run: Run) -> str:
    scenario = run.values["scenario"]
    shot = f", {scenario['shot']} shot" if scenario.get("shot") is not None else ""
    return f"{protocol_of(run.values)}{shot}"


def _listed(values: Iterable[str]) -> str:
    """Each value once; of many the first ones and how many there are."""
    names = list(dict.fromkeys(values))
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:6])} … ({len(names)})"
