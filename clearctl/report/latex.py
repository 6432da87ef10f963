"""A report's summary as a LaTeX table that fits a page, or one column of two."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clearctl.report.groups import Group
from clearctl.report.numbers import Numbers
from clearctl.report.remarks import DAGGER, remarks
from clearctl.report.tables import (
    IN_BOLD,
    Cell,
    extra_tables,
    families,
    heading,
    headings,
    in_units,
    is_marked,
    setting,
    summary,
)
from clearctl.report.texwidths import width_pt
from clearctl.report.view import DEFAULT, View

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # After the \\ of a row these two would be its argument and its star.
    "[": "{[}",
    "*": "{*}",
    # Which the fonts of pdfLaTeX lack.
    "†": r"$^\dagger$",
    "−": "$-$",
    "±": r"$\pm$",
    "–": "--",
    "…": r"\dots{}",
    "’": "'",
}
# The widths of a page and of one of two columns in LaTeX's article at 10 pt, than which few papers' are narrower.
_ROOM_PT = {"page": 345.0, "column": 229.0}
_MOST_LABEL_PT = {"page": 100.0, "column": 62.0}
_SEP_PT = 3.0  # on either side of a cell
_SIZE = r"\fontsize{8}{9.6}\selectfont"
_SMALL = r"\fontsize{6}{7.2}\selectfont"
_MOST_UNBROKEN = 10  # letters
_MOST_ROWS = 48  # of a table on one page


def render_latex(groups: Sequence[Group], view: View = DEFAULT) -> str:
    """A tabular of booktabs' rules with footnotes below, in a table with the caption if there is one.

    Columns for which there is no room next to each other are below each other. The settings that the groups differ in,
    and the folders, are comments above.
    """
    numbers = view.columns(groups)
    table = [*_tabular(groups, view, numbers), *_footnotes(groups, numbers)]
    if view.caption:
        environment = "table" if view.width == "column" else "table*"
        caption = rf"\caption{{{_breakable(view.caption)}}}"
        name = re.sub(r"[^a-z0-9]+", "-", view.title.lower()).strip("-") or "clear"
        table = [
            rf"\begin{{{environment}}}[t]",
            r"\centering",
            caption,
            rf"\label{{tab:{name}}}",
            *table,
            rf"\end{{{environment}}}",
        ]
    return "\n".join([*(f"% {comment}" for comment in _comments(groups, view)), *table]) + "\n"


def escaped(text: str) -> str:
    """`text` as LaTeX prints it literally."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _comments(groups: Sequence[Group], view: View) -> Iterator[str]:
    yield r"needs \usepackage{booktabs}"
    if view.title:
        yield view.title
    if view.width == "page" and view.caption:
        yield r"table* spans both columns if there are two"
    texts = "".join([view.caption, *(group.label for group in groups)])
    if any(ord(letter) > 0x24F and letter not in _ESCAPES for letter in texts):
        yield "has characters that pdfLaTeX's fonts lack: use XeLaTeX or LuaLaTeX, with a font that has them"
    for group in groups:
        if group.settings:
            yield f"{group.label}: {', '.join(f'{key} = {setting(group, key)}' for key in group.settings)}"
    yield from (remark.text for remark in remarks(groups) if remark.of_folders)


@dataclass(frozen=True)
class _Layout:
    """The rows below each title, the headings, the columns per block, how labels are set, and lines per block."""

    bodies: list[tuple[str, list[tuple[str, int, list[str]]]]]
    titles: dict[str, list[str]]
    blocks: list[list[str]]
    label_column: str
    height: int


def _tabular(groups: Sequence[Group], view: View, numbers: Numbers) -> list[str]:
    """The rows of all groups under as many headings as there is room for, then again under the next ones.

    A table that would be higher than a page is a tabular for each of these.
    """
    names = list(numbers)
    layout = _lay_out(groups, view, numbers)
    most = max(map(len, layout.blocks))
    begin = [rf"\begin{{tabular}}{{@{{}}{layout.label_column}r{'r' * most}@{{}}}}", r"\toprule"]
    end = [r"\bottomrule", r"\end{tabular}\par"]
    between = (
        [r"\midrule"] if layout.height * len(layout.blocks) <= _MOST_ROWS else [*end, r"\medskip\noindent", *begin]
    )
    lines = []
    for number, block in enumerate(layout.blocks):
        lines += between if number else begin
        lines += _headings({name: numbers[name] for name in block}, layout.titles, most)
        for title, body in layout.bodies:
            lines.append(r"\midrule")
            if title:
                whole = rf"{{@{{}}p{{{_ROOM_PT[view.width] * 0.7:.0f}pt}}@{{}}}}"
                lines.append(rf"\multicolumn{{{most + 2}}}{whole}{{\raggedright\itshape {_breakable(title)}}} \\")
            for label, n, row in body:
                before = rf"\raggedright {_breakable(label)}" if layout.label_column != "l" else escaped(label)
                lines.append(_line([before, str(n), *(row[names.index(name)] for name in block)], most))
    return [rf"{{\noindent{_SIZE}\setlength{{\tabcolsep}}{{{_SEP_PT:g}pt}}%", *lines, *end, "}"]


def _lay_out(groups: Sequence[Group], view: View, numbers: Numbers) -> _Layout:
    cells = [[_text(cell) for cell in row] for row in summary(groups, numbers)]
    bodies = [("", [(group.label, len(group.counted), row) for group, row in zip(groups, cells, strict=True)])]
    for extra in extra_tables(groups, numbers, ci=view.ci, comparison=view.comparison):
        rows = [(label, n, [rf"{{{_SMALL}{_with_minus(cell)}}}" for cell in found]) for label, n, found in extra.rows]
        bodies.append((extra.title, rows))
    titles = {name: _two(text) for name, text in headings(numbers, lambda number: number.heading).items()}
    for name in numbers:
        if is_marked(groups, name):
            titles[name][-1] += escaped(DAGGER)
    every = [row for _, rows in bodies for row in rows]
    widest_pt = max(width_pt(escaped(label)) for label, _, _ in every)
    label_pt = min(widest_pt, _MOST_LABEL_PT[view.width])
    texts = [*(cell for _, _, row in every for cell in row), *(line for lines in titles.values() for line in lines)]
    room_pt = _ROOM_PT[view.width] - label_pt - max(width_pt(str(n)) for _, n, _ in every) - 4 * _SEP_PT
    blocks = _blocks(numbers, max(1, int(room_pt / (max(map(width_pt, texts)) + 2 * _SEP_PT))))
    height = sum(1 + int(width_pt(escaped(label)) / label_pt) for label, _, _ in every) + 3 * len(bodies)
    return _Layout(bodies, titles, blocks, "l" if widest_pt <= label_pt else rf"p{{{label_pt:.0f}pt}}", height)


def _footnotes(groups: Sequence[Group], numbers: Numbers) -> list[str]:
    in_bold = f"; {IN_BOLD}" if len(groups) > 1 else ""
    texts = [f"{heading(groups)}{in_bold}{in_units(numbers)}", *(r.text for r in remarks(groups) if not r.of_folders)]
    lines = [rf"{_breakable(text)}.\par" for text in texts]
    return [
        r"\smallskip",
        rf"{{\noindent{_SIZE}\raggedright {lines[0]}",
        *(rf"\noindent {line}" for line in lines[1:]),
        "}",
    ]


def _blocks(numbers: Numbers, most: int) -> list[list[str]]:
    """The names of the columns that stand next to each other, at most `most`; an author's stay together if they can."""
    blocks: list[list[str]] = [[]]
    names = list(numbers)
    for _, count in families(numbers):
        family, names = names[:count], names[count:]
        if blocks[-1] and len(blocks[-1]) + count > most:
            blocks.append([])
        parts = -(-count // most)  # as even as can be
        size = -(-count // parts)
        for start in range(0, count, size):
            blocks += [[]] * (start > 0)
            blocks[-1] = blocks[-1] + family[start : start + size]
    return [block for block in blocks if block]


def _headings(numbers: Numbers, titles: dict[str, list[str]], most: int) -> list[str]:
    """Whose the numbers are, a rule under each, then their own headings, each in one line or two."""
    owners, rules, first = ["", ""], [], 3
    for of, count in families(numbers):
        owners += [rf"\multicolumn{{{count}}}{{c}}{{{escaped(of)}}}"] if of else [""] * count
        if of:
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    owners += [""] * (most - len(numbers))
    tall = any(len(titles[name]) > 1 for name in numbers)
    upper = [titles[name][0] if len(titles[name]) > 1 else "" for name in numbers]
    lower = [titles[name][-1] for name in numbers]
    return [
        *([f"{' & '.join(owners)} \\\\", " ".join(rules)] if rules else []),
        *([_line(["", "", *upper], most)] if tall else []),
        _line(["", "n", *lower], most),
    ]


def _two(heading: str) -> list[str]:
    """A heading, escaped, in at most two lines."""
    first, *others = heading.replace("-", "-\n").replace(" ", "\n").splitlines()
    return [escaped(first), escaped(" ".join(others))] if others else [escaped(first)]


def _breakable(text: str) -> str:
    """`text` escaped, with places to break lines if words are long."""
    words = []
    for word in text.split(" "):
        parts = re.findall(rf"[^_\-/=.,]{{1,{_MOST_UNBROKEN}}}[_\-/=.,]?|[_\-/=.,]", word)
        long = len(word) > _MOST_UNBROKEN
        words.append((r"\allowbreak " if long else "").join(map(escaped, parts)))
    return " ".join(words)


def _with_minus(text: str) -> str:
    """The text of a further table's cell, its minus signs real ones."""
    return re.sub(r"-(?=\d)", "$-$", escaped(text))


def _text(cell: Cell) -> str:
    """The mean with a real minus sign, bold if it is the best, and ± its deviation in small."""
    sign, digits = ("$-$", cell.mean[1:]) if cell.mean.startswith("-") and len(cell.mean) > 1 else ("", cell.mean)
    mean = rf"\textbf{{{sign}{digits}}}" if cell.best else f"{sign}{digits}"
    mark = escaped(cell.mark)
    return rf"{mean}\,{{{_SMALL}$\pm$\,{cell.std}}}{mark}" if cell.std else f"{mean}{mark}"


def _line(cells: Sequence[str], most: int) -> str:
    """A row, filled up to label, n and `most` columns."""
    return f"{' & '.join([*cells, *[''] * (most + 2 - len(cells))])} \\\\"
