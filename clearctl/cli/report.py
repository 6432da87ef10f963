"""`clearctl report`."""

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

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
            help="Run folders, folders that contain some, or accuracy matrices as .csv files.",
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
        typer.Option("--figures", "--plots", metavar="DIR", help="Draw figures into this folder, as PNG, PDF and SVG."),
    ] = None,
    draw: Annotated[
        str | None,
        typer.Option(
            "--draw", metavar="NAMES", help="Which figures, such as over-time,forgetting; an unknown name lists all."
        ),
    ] = None,
    add: Annotated[
        str | None,
        typer.Option(
            "--add", metavar="NAMES", help="Further numbers, such as challenge,final_domain; an unknown name lists all."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Report runs of different datasets together.")] = False,
    include_diverged: Annotated[
        bool, typer.Option("--include-diverged", help="Include runs that diverged in the means.")
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
    label: Annotated[
        list[str] | None,
        typer.Option(
            "--label", metavar="KEY=TEXT", help="A new label for a group, or for a part of labels; may be repeated."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--columns", metavar="NAMES", help="The numbers to show, in this order: accuracy,gem_bwt."),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option("--sort", metavar="NAME", help="Sort by a number, best first, by label, or by a setting."),
    ] = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="The report's title.")] = "",
    caption: Annotated[str, typer.Option("--caption", metavar="TEXT", help="The summary's caption.")] = "",
    width: Annotated[
        str, typer.Option("--width", metavar="column|page", help="The width that LaTeX tables and figures must fit.")
    ] = "page",
    json: Json = False,
) -> None:
    """Mean ± std over runs that differ only in their seeds: matrices, CLEAR's and GEM's numbers, training time.

    A run in progress is reported up to its last bucket. Tables are in percent;
    csv and json have raw fractions. Without --output a text goes to stdout, and
    html to report.html: in the run folder if a single run is named, else in
    the current one. A .csv file of N rows of N fractions,
    row i after training to bucket i, is a row of its own.

    Example: `clearctl report work_dirs --output report.html --figures figures`
    """
    from clearctl.cli.progress import Display
    from clearctl.report.report import TERMINAL, choose_format, make_report, render

    if json and format not in (None, "json") and not (to or format == "html"):
        raise UsageError(f"--json prints JSON, but --format says {format}: leave one of them out, or name an --output")
    shown = "json" if json else choose_format(to, format)
    asked: dict[str, Any] = dict(
        add=_names(add), ci=ci, compare=compare, columns=_names(columns), title=title, caption=caption, width=width
    )
    with Display(output) as display:
        groups = make_report(
            folders,
            output=to,
            format=format,
            plots=plots,
            draw=_names(draw),
            force=force,
            include_diverged=include_diverged,
            long=long,
            labels=label or [],
            sort=sort,
            listener=display.show,
            **asked,
        )
    if json or (to is None and shown not in ("html", TERMINAL)):
        sys.stdout.write(render(groups, shown, long=long and not json, **asked))
        sys.stdout.flush()
    elif shown == TERMINAL:
        _print(groups, **asked)


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _print(
    groups: Sequence["Group"],
    *,
    add: Sequence[str],
    ci: bool,
    compare: tuple[str, str] | None,
    columns: Sequence[str],
    title: str,
    caption: str,
    width: str,
) -> None:
    """Title and caption, the matrices, the table of all groups, their differences, and what to know of the runs."""
    from clearctl.cli import tables
    from clearctl.report.numbers import choose_numbers
    from clearctl.report.remarks import remarks
    from clearctl.report.tables import extra_tables
    from clearctl.report.view import make_view

    show = output.stdout.print
    numbers = choose_numbers(add)
    view = make_view(
        groups, numbers, columns=columns, ci=ci, compared=compare, title=title, caption=caption, width=width
    )
    for text in (view.title, view.caption):
        if text:
            show(Text("\n" + textwrap.fill(text, 80), style="bold" if text is view.title else ""))
    if len(groups) <= MOST_MATRICES:
        for group in groups:
            show(tables.spread_table(group, output.stdout.width))
    parts = tables.side_by_side(view.columns(groups), chosen=bool(columns))
    for part in parts:
        show(tables.summary_table(groups, part, bold=output.bold))
    for part in parts:
        for extra in extra_tables(groups, part, ci=ci, comparison=view.comparison):
            show(tables.extra_table(extra, groups, part))
    if any(group.settings for group in groups):
        show(tables.settings_table(groups))
    for remark in remarks(groups):
        if remark.of_mark:
            show(f"\n{textwrap.fill(remark.text, 80)}")
        else:
            output.message(remark.text, warning=remark.warns)
    if len(groups) > MOST_MATRICES:
        output.message(
            f"the matrices of {len(groups)} groups are left out: name fewer runs, or use --output report.html"
        )
