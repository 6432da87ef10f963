"""A report's summary as a LaTeX table, to be \\input in a table environment."""

from collections.abc import Sequence

from clearctl.report.groups import Group
from clearctl.report.numbers import NUMBERS, Numbers
from clearctl.report.tables import HEADING, Cell, notes, setting, summary

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
}
# Narrower than elsewhere: the whole has to fit a page.
_HEADINGS = {"backward_transfer": "backward tr.", "forward_transfer": "forward tr."}


def render_latex(groups: Sequence[Group], numbers: Numbers = NUMBERS) -> str:
    """A tabular of booktabs' rules; what the groups differ in, and the notes, are comments above it."""
    comments = [
        r"needs \usepackage{booktabs}",
        f"{HEADING}, the best in bold; training in seconds",
        *(f"{group.label}: {_settings(group)}" for group in groups if group.settings),
        *notes(groups),
    ]
    lines = [
        *(f"% {comment}" for comment in comments),
        rf"\begin{{tabular}}{{lr{'r' * len(numbers)}}}",
        r"\toprule",
        *_headings(numbers),
        r"\midrule",
        *(_row(group, cells) for group, cells in zip(groups, summary(groups, numbers), strict=True)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """`text` as LaTeX prints it literally."""
    return "".join(_ESCAPES.get(letter, letter) for letter in text)


def _settings(group: Group) -> str:
    return ", ".join(f"{key} = {setting(group, key)}" for key in group.settings)


def _headings(numbers: Numbers) -> list[str]:
    """Whose the numbers are, a rule under each, then their own headings."""
    owners, rules, first = ["", ""], [], 3
    for of in dict.fromkeys(number.of for number in numbers.values()):
        count = sum(number.of == of for number in numbers.values())
        owners.append(rf"\multicolumn{{{count}}}{{c}}{{{of}}}" if of else "")
        if of:
            rules.append(rf"\cmidrule(lr){{{first}-{first + count - 1}}}")
        first += count
    own = [_HEADINGS.get(name, number.heading) for name, number in numbers.items()]
    return [_line(owners), " ".join(rules), _line(["", "n", *own])]


def _row(group: Group, cells: Sequence[Cell]) -> str:
    return _line([escaped(group.label), str(len(group.counted)), *map(_text, cells)])


def _text(cell: Cell) -> str:
    """The mean with a real minus sign, bold if it is the best, and ± its deviation."""
    sign, digits = ("$-$", cell.mean[1:]) if cell.mean.startswith("-") and len(cell.mean) > 1 else ("", cell.mean)
    mean = rf"\textbf{{{sign}{digits}}}" if cell.best else f"{sign}{digits}"
    return rf"{mean} $\pm$ {cell.std}" if cell.std else mean


def _line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
