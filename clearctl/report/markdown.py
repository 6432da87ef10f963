"""A report as Markdown tables."""

import re
from collections.abc import Sequence

from clearctl.report.groups import Group
from clearctl.report.numbers import Numbers
from clearctl.report.remarks import DAGGER
from clearctl.report.tables import (
    IN_BOLD,
    MOST_COLUMNS,
    Cell,
    extra_tables,
    heading,
    is_marked,
    matrix_cells,
    notes,
    setting,
    setting_keys,
    summary,
    with_unit,
)
from clearctl.report.view import DEFAULT, View


def render_markdown(groups: Sequence[Group], view: View = DEFAULT) -> str:
    """Title, caption, summary, settings in which the groups differ, accuracy matrices and notes, for GitHub."""
    in_bold = f"; {IN_BOLD}" if len(groups) > 1 else ""
    text = heading(groups)
    numbers = view.columns(groups)
    parts = [
        *([f"# {escaped(view.title)}"] if view.title else []),
        *([escaped(view.caption)] if view.caption else []),
        f"{text[0].upper()}{text[1:]}{in_bold}.",
        *_summary(groups, numbers),
    ]
    for extra in extra_tables(groups, numbers, ci=view.ci, comparison=view.comparison):
        rows = [[escaped(label), str(n), *map(escaped, cells)] for label, n, cells in extra.rows]
        parts += [f"## {extra.title[0].upper()}{extra.title[1:]}", _table(_headings(groups, numbers), rows)]
    if setting_keys(groups):
        parts += ["## Settings in which the groups differ", _settings(groups)]
    for group in groups:
        parts += [f"## Accuracy matrix of {escaped(group.label)}", _matrix(group)]
    found = notes(groups)
    if found:
        parts += ["## Notes", "\n".join(f"- {escaped(note)}" for note in found)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """`text` with everything that Markdown would take for its own."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", text)


def _summary(groups: Sequence[Group], numbers: Numbers) -> list[str]:
    rows = [
        [escaped(group.label), str(len(group.counted)), *map(_text, cells)]
        for group, cells in zip(groups, summary(groups, numbers), strict=True)
    ]
    explained = (f"- {escaped(number.title)}: {escaped(number.explanation)}" for number in numbers.values())
    return [_table(_headings(groups, numbers), rows), "\n".join(explained)]


def _headings(groups: Sequence[Group], numbers: Numbers) -> list[str]:
    titles = ((name, escaped(with_unit(number.title, number))) for name, number in numbers.items())
    return ["group", "n", *(f"{title}{DAGGER}" if is_marked(groups, name) else title for name, title in titles)]


def _settings(groups: Sequence[Group]) -> str:
    keys = setting_keys(groups)
    if len(keys) <= MOST_COLUMNS:
        rows = [[escaped(group.label), *(escaped(setting(group, key)) for key in keys)] for group in groups]
        return _table(["group", *map(escaped, keys)], rows)
    lines = []
    for group in groups:
        lines.append(f"- {escaped(group.label)}")
        lines += [f"  - {escaped(key)} = {escaped(setting(group, key))}" for key in group.settings]
    return "\n".join(lines)


def _matrix(group: Group) -> str:
    rows = [
        [escaped(name), *(cell.text() for cell in cells)]
        for name, cells in zip(group.bucket_names, matrix_cells(group), strict=False)
    ]
    return _table(["trained to", *map(escaped, group.bucket_names)], rows)


def _text(cell: Cell) -> str:
    return f"**{cell.text()}**" if cell.best else cell.text()


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are aligned to the right."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
