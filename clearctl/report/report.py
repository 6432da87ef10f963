"""A report of run folders: groups of runs that differ only in their seeds, in the requested format."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clearctl import atomic, rundir
from clearctl.errors import RunError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.report.groups import Group, group_runs
from clearctl.report.latex import render_latex
from clearctl.report.markdown import render_markdown
from clearctl.report.numbers import check_columns, choose_numbers
from clearctl.report.records import render_csv, render_json, render_long_csv
from clearctl.report.runs import find_runs, require_one_dataset, without_validation
from clearctl.report.view import View, make_view, named, ordered
from clearctl.wording import all_of, any_of, counted

TERMINAL = "terminal"
SUFFIXES = {".html": "html", ".tex": "latex", ".md": "markdown", ".csv": "csv", ".json": "json"}
FORMATS = (TERMINAL, *SUFFIXES.values())
_TEXTS: dict[str, Callable[..., str]] = {
    "latex": render_latex,
    "markdown": render_markdown,
    "csv": render_csv,
    "json": render_json,
}
# Of a run, and not to be written over.
_RUN_FILES = (
    rundir.config_file,
    rundir.environment_file,
    rundir.log_file,
    rundir.metrics_file,
    rundir.eval_file,
    rundir.matrix_file,
)


def make_report(
    folders: Sequence[Path | str] | Path | str,
    *,
    output: Path | str | None = None,
    format: str | None = None,
    plots: Path | str | None = None,
    draw: Sequence[str] = (),
    add: Sequence[str] = (),
    force: bool = False,
    include_diverged: bool = False,
    ci: bool = False,
    compare: tuple[str, str] | None = None,
    long: bool = False,
    labels: Sequence[str] = (),
    columns: Sequence[str] = (),
    sort: str | None = None,
    title: str = "",
    caption: str = "",
    width: str = "page",
    listener: Listener = ignore,
) -> list[Group]:
    """The runs at and below `folders`, grouped; `output` and `plots` are written if they are given.

    Args:
        folders: run folders, or folders that have some below them; and accuracy matrices made elsewhere, as CSV files
            of N rows of N fractions (`foreign`), each its own row. A run that is in progress counts with what it
            has.
        output: the file to write. Its suffix says what in: .html, .tex, .md, .csv or .json.
        format: one of FORMATS, for an `output` of another suffix. "html" without `output` writes report.html, into the
            run folder where `folders` is a single one, else into the current folder. Any other without `output` writes
            nothing; `render` gives its text.
        plots: a folder for figures, as PNG, PDF and SVG.
        draw: which figures, of `plots.DRAWINGS`; all possible ones by default.
        add: further numbers, of `numbers.ADDED`: "challenge", "final_domain".
        force: take runs of different datasets into one report, and runs tested on validation images beside others.
        include_diverged: let runs count that diverged.
        ci: add the 95 % confidence interval of each mean, by bootstrap over the runs.
        compare: add the difference of two groups, paired by seed; named by their labels.
        long: write a CSV file of accuracies: a row per run, bucket trained on and bucket tested on.
        labels: other labels for groups: "KEY=TEXT", where KEY is a label, or a part of labels.
        columns: the names of the numbers to show, in this order, instead of all.
        sort: the number that groups are sorted by, the best first; or "label", or a setting.
        title: of the report, and `caption` of its summary.
        width: what a LaTeX table and the figures have to fit in: "column" or "page".
        listener: notified of what is left out, and of what was written.

    Raises UsageError for an unknown format, or one that disagrees with `output`, for unknown numbers, labels,
    columns and what cannot be sorted by, and for `long` with another format than CSV or with what it has no place for;
    RunError if no run is left, for runs of different datasets, for a file that is not an accuracy matrix, and where
    something cannot be written.
    """
    named_folders = [Path(folders)] if isinstance(folders, Path | str) else list(map(Path, folders))
    wanted = choose_format(output, format)
    shown = dict(add=add, ci=ci, compare=compare, columns=columns, title=title, caption=caption, width=width)
    _check(wanted, long, shown)
    if draw:
        _check_drawings(draw, plots)
    runs = find_runs(named_folders, listener)
    if not force:
        runs = without_validation(runs, listener)
        require_one_dataset(runs)
    groups = named(group_runs(runs, include_diverged=include_diverged), labels)
    if sort is not None:
        groups = ordered(groups, sort)
    view = _view(groups, shown)  # whose faults are reported before anything is written
    file = None if output is None else Path(output)
    if file is None and wanted == "html":
        one = named_folders[0]
        file = rundir.report_file(one) if len(named_folders) == 1 and rundir.is_run(one) else Path("report.html")
    if file is not None:
        _write(file, _text(groups, wanted, view, long))
        listener(Message(f"report written to {file}"))
    if plots is not None:
        _draw(groups, Path(plots), view, draw, listener)
    return groups


def render(
    groups: Sequence[Group],
    format: str,
    add: Sequence[str] = (),
    *,
    ci: bool = False,
    compare: tuple[str, str] | None = None,
    long: bool = False,
    columns: Sequence[str] = (),
    title: str = "",
    caption: str = "",
    width: str = "page",
) -> str:
    """The groups in one of FORMATS but "terminal", as text, with the numbers of ADDED that `add` names.

    All others are those of `make_report`. Raises UsageError for another format, an unknown number, groups that cannot
    be compared, and what has no place in the `long` form.
    """
    shown = dict(add=add, ci=ci, compare=compare, columns=columns, title=title, caption=caption, width=width)
    _check(format, long, shown)
    return _text(groups, format, _view(groups, shown), long)


def _check(format: str, long: bool, shown: dict[str, Any]) -> None:
    """Raise UsageError for what can be seen to be wrong before any run is read."""
    choose_numbers(shown["add"])
    check_columns(shown["columns"])
    if long:
        _require_fits_long(format, shown)


def _check_drawings(draw: Sequence[str], plots: Path | str | None) -> None:
    from clearctl.report.plots import check_drawings

    check_drawings(draw)
    if plots is None:
        raise UsageError(f"--draw {','.join(draw)}: add --figures DIR, the folder for the figures")


def _view(groups: Sequence[Group], shown: dict[str, Any]) -> View:
    others = {name: value for name, value in shown.items() if name not in ("add", "compare", "columns")}
    columns = list(dict.fromkeys([*shown["columns"], *shown["add"]])) if shown["columns"] else []
    return make_view(groups, choose_numbers(shown["add"]), columns=columns, compared=shown["compare"], **others)


def _text(groups: Sequence[Group], format: str, view: View, long: bool) -> str:
    if long:
        return render_long_csv(groups)
    if format == "html":
        from clearctl.report.page import render_page  # with jinja2 and Pillow, for which the others need not wait

        return render_page(groups, view)
    if format not in _TEXTS:
        raise UsageError(f"--format {format}: not a text format; expected {any_of(tuple(SUFFIXES.values()))}")
    return _TEXTS[format](groups, view)


def _draw(groups: Sequence[Group], folder: Path, view: View, draw: Sequence[str], listener: Listener) -> None:
    from clearctl.report.plots import write_plots

    try:
        written = write_plots(groups, folder, listener, view, draw)
    except OSError as error:
        raise RunError(f"the figures cannot be written to {folder}: {error.strerror}") from None
    listener(Message(f"{counted(len(written), 'figure')} written to {folder}, each as PNG, PDF and SVG"))


def choose_format(output: Path | str | None, format: str | None) -> str:
    """The format by the suffix of `output`, else `format`, else "terminal". Raises UsageError if they do not agree."""
    if format is not None and format not in FORMATS:
        raise UsageError(f"--format {format}: expected {any_of(FORMATS)}")
    if output is None:
        return format or TERMINAL
    path = Path(output)
    by_suffix = SUFFIXES.get(path.suffix.lower())
    if format is not None and by_suffix not in (None, format):
        raise UsageError(f"--output {path} is {by_suffix}, but --format says {format}: leave one of them out")
    if format == TERMINAL:
        raise UsageError("--format terminal is for the terminal: leave --output out, or choose another format")
    if by_suffix is None and format is None:
        raise UsageError(f"--output {path}: expected a name that ends in {any_of(tuple(SUFFIXES))}")
    if rundir.is_run(path.parent) and path.name in {file(path.parent).name for file in _RUN_FILES}:
        raise UsageError(f"--output {path} would overwrite the run's own file: choose another name")
    return by_suffix or str(format)


def _require_fits_long(format: str, shown: dict[str, Any]) -> None:
    """Raise UsageError for a format that has no long form, and for what has no row in it."""
    if format != "csv":
        raise UsageError(f"--long needs the format csv, not {format}: use --format csv --long, or leave --long out")
    unfit = [f"--{name}" for name, value in shown.items() if value and name != "width"]
    if unfit:
        raise UsageError(f"--long contains accuracies only: leave out {all_of(unfit)}, or --long")


def _write(file: Path, text: str) -> None:
    try:
        atomic.write_text(file, text)
        atomic.remove_stale(file.parent, file.name)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror}; choose another with --output") from None
