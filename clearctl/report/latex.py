"""A report's summary as a LaTeX table, to be \\input in a table environment."""

import re
from collections.abc import Sequence

from clearctl.report.groups import Group
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.remarks import DAGGER, remarks
from clearctl.report.tables import (
    IN_BOLD,
    Cell,
    extra_tables,
    families,
    heading,
    in_order,
    in_units,
    is_marked,
    setting,
    summary,
)
from clearctl.report.uncertainty import Comparison

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
}


def render_latex(
    groups: Sequence[Group], numbers: Numbers = NUMBERS, *, ci: bool = False, comparison: Comparison | None = None
) -> str:
    """A tabular of booktabs' rules with footnotes below; what the groups differ in, and folders, are comments above."""
    found = remarks(groups)
    numbers = in_order(groups, numbers)
    comments = [
        r"needs \usepackage{booktabs}",
        *(f"{group.label}: {_settings(group)}" for group in groups if group.settings),
        *(remark.text for remark in found if remark.of_folders),
    ]
    in_bold = f"; {IN_BOLD}" if len(groups) > 1 else ""
    footnotes = [f"{heading(groups)}{in_bold}{in_units(numbers)}", *(r.text for r in found if not r.of_folders)]
    lines = [
        *(f"% {comment}" for comment in comments),
        rf"\begin{{tabular}}{{lr{'r' * len(numbers)}}}",
        r"\toprule",
        *_headings(groups, numbers),
        r"\midrule",
        *(_row(group, cells) for group, cells in zip(groups, summary(groups, numbers), strict=True)),
    ]
    for extra in extra_tables(groups, numbers, ci=ci, comparison=comparison):
        title = rf"\multicolumn{{{len(numbers) + 2}}}{{l}}{{\itshape {escaped(extra.title)}}}"
        rows = (_line([escaped(label), str(n), *map(_with_minus, cells)]) for label, n, cells in extra.rows)
        lines += [r"\midrule", f"{title} \\\\", *rows]
    lines += [
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\smallskip",
        rf"{{\footnotesize\raggedright {escaped(footnotes[0])}.\par",
        *(rf"{escaped(text)}.\par" for text in footnotes[1:]),
        "}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """`text` as LaTeX prints it literally."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _settings(group: Group) -> str:
    return ", ".join(f"{key} = {setting(group, key)}" for key in group.settings)


def _headings(groups: Sequence[Group], numbers: Numbers) -> list[str]:
    """Whose the numbers are, a rule under each, then their own headings."""
    owners, rules, first = ["", ""], [], 3
    for of, count in families(numbers):
        owners += [rf"\multicolumn{{{count}}}{{c}}{{{escaped(of)}}}"] if of else [""] * count
        if of:
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    own = [
        escaped(number.narrow or number.heading) + (escaped(DAGGER) if is_marked(groups, name) else "")
        for name, number in numbers.items()
    ]
    return [_line(owners), " ".join(rules), _line(["", "n", *own])]


def _row(group: Group, cells: Sequence[Cell]) -> str:
    return _line([escaped(group.label), str(len(group.counted)), *map(_text, cells)])


def _with_minus(text: str) -> str:
    """The text of a further table's cell, its minus signs real ones."""
    return re.sub(r"-(?=\d)", "$-$", escaped(text))


def _text(cell: Cell) -> str:
    """The mean with a real minus sign, bold if it is the best, and ± its deviation."""
    sign, digits = ("$-$", cell.mean[1:]) if cell.mean.startswith("-") and len(cell.mean) > 1 else ("", cell.mean)
    mean = rf"\textbf{{{sign}{digits}}}" if cell.best else f"{sign}{digits}"
    mark = escaped(cell.mark)
    return rf"{mean} $\pm$ {cell.std}{mark}" if cell.std else f"{mean}{mark}"


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
