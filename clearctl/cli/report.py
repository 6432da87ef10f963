"""`clearctl report`."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearctl.cli.completion import run_folders
from clearctl.cli.console import output, reporting_errors
from clearctl.cli.options import Json
from clearctl.errors import UsageError

if TYPE_CHECKING:
    from clearctl.report.groups import Group

# The matrices of more groups than these are many screens.
MOST_MATRICES = 8


@reporting_errors
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR",
            autocompletion=run_folders,
            help="Run folders, or folders that have some below them; accuracy matrices as .csv files.",
        ),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="terminal|html|latex|markdown|csv|json",
            help="Default: what the suffix of --output says, else terminal.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="A file that ends in .html, .tex, .md, .csv or .json."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="DIR", help="Draw the figures into this folder, as PNG and as PDF."),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            "--add", metavar="NAMES", help="Further numbers, such as challenge,final_domain; another name lists all."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Take runs of different datasets into one report.")] = False,
    include_diverged: Annotated[
        bool, typer.Option("--include-diverged", help="Let runs that diverged count in the means.")
    ] = False,
    ci: Annotated[
        bool, typer.Option("--ci", help="Add 95 % confidence intervals, by bootstrap over the runs.")
    ] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Add the difference of two groups, paired by seed."),
    ] = None,
    long: Annotated[
        bool,
        typer.Option("--long", help="CSV for pandas and R: a row per run, bucket trained on and bucket tested on."),
    ] = False,
    json: Json = False,
) -> None:
    """Mean ± std over the runs that differ in their seeds alone: matrices, CLEAR's and GEM's numbers, training time.

    A run that is still going is reported as far as it is. Tables are in
    percent; csv and json have raw fractions. Without --output a text goes to
    stdout, and html to report.html: in the run folder where a single run is
    named, else in the current one. A .csv file of N rows of N fractions,
    row i after training to bucket i, is a row of its own.

    Example: `clearctl report work_dirs --output report.html --plots plots`
    """
    from clearctl.cli.progress import Display
    from clearctl.report.report import TERMINAL, choose_format, make_report, render

    if json and format not in (None, "json") and not (to or format == "html"):
        raise UsageError(f"--json prints JSON, but --format says {format}: leave one of them out, or name an --output")
    shown = "json" if json else choose_format(to, format)
    added = [name.strip() for name in (add or "").split(",") if name.strip()]
    with Display(output) as display:
        groups = make_report(
            folders,
            output=to,
            format=format,
            plots=plots,
            add=added,
            force=force,
            include_diverged=include_diverged,
            ci=ci,
            compare=compare,
            long=long,
            listener=display.show,
        )
    if json or (to is None and shown not in ("html", TERMINAL)):
        sys.stdout.write(render(groups, shown, added, ci=ci, compare=compare, long=long and not json))
        sys.stdout.flush()
    elif shown == TERMINAL:
        _print(groups, added, ci, compare)


def _print(groups: Sequence["Group"], added: Sequence[str], ci: bool, compare: tuple[str, str] | None) -> None:
    """The matrices, then the table of all groups, where they differ, and what to know of the runs."""
    from clearctl.cli import tables
    from clearctl.report.numbers import ADDED, NUMBERS
    from clearctl.report.remarks import remarks
    from clearctl.report.tables import extra_tables, in_order, measured_by
    from clearctl.report.uncertainty import compare as compared

    show = output.stdout.print
    if len(groups) <= MOST_MATRICES:
        for group in groups:
            show(tables.spread_table(group, output.stdout.width))
    always = {name: number for name, number in NUMBERS.items() if number.measured is None}
    asked_for = {name: ADDED[name] for name in ADDED if name in added}
    measured = {name: number for name, number in measured_by(groups, NUMBERS).items() if number.measured is not None}
    for numbers in (always, asked_for, measured):  # in tables of their own: beside each other they would not fit
        if numbers:
            show(tables.summary_table(groups, numbers))
    comparison = compared(groups, *compare) if compare is not None else None
    for columns in (in_order(groups, {**always, **asked_for}), in_order(groups, measured)):
        for extra in extra_tables(groups, columns, ci=ci, comparison=comparison) if columns else ():
            show(tables.extra_table(extra, groups, columns))
    if any(group.settings for group in groups):
        show(tables.settings_table(groups))
    for remark in remarks(groups):
        if remark.of_mark:
            show(f"\n{textwrap.fill(remark.text, 80)}")
        else:
            output.message(remark.text, warning=True)
    if len(groups) > MOST_MATRICES:
        output.message(
            f"the matrices of {len(groups)} groups are left out: name fewer runs, or use --output report.html"
        )
