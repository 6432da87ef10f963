"""Lines in columns, of which the last has a text of any length, and labels that are broken between their parts."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from clearctl.cli.console import output

_NARROW = 12  # letters, into which a column of labels may be squeezed


class Label:
    """The label of a group or a run (`ewc,lr=0.1,seed=3`) in a table: in a narrow column it is broken after commas.

    The key of a setting (`model.head.type`) is broken `after` points.
    """

    def __init__(self, text: str, style: str = "", after: str = ",") -> None:
        self.style = style
        self.text = text
        self.parts = re.findall(rf"[^{after}]+[{after}]*\s*|[{after}]+\s*", text)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = [""]
        for part in self.parts:
            if lines[-1] and cell_len(lines[-1]) + cell_len(part.rstrip()) > options.max_width:
                lines.append("")
            lines[-1] += part
        yield Text("\n".join(line.rstrip() for line in lines), self.style, overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = min(cell_len(self.text), options.max_width)
        return Measurement(min(length, _NARROW), length)


def print_line(first: Sequence[Text], last: Text, *, off_terminal: Text | None = None) -> None:
    """Print a line; on a terminal `last` is wrapped within its column, elsewhere it stays one line, to be searched.

    There `off_terminal` stands for `last`, which may have several lines.
    """
    if not output.stdout.is_terminal:
        output.stdout.print(Text.assemble(*first, last if off_terminal is None else off_terminal))
        return
    from rich.table import Table  # which not every command needs

    line = Table.grid()
    for _ in first:
        line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(*first, last)
    output.stdout.print(line)


def print_names(named: Mapping[str, str]) -> None:
    """A line for each name and what it is; the column of the names is as wide as those of the same folder need."""
    for _, of_folder in groupby(named.items(), lambda item: item[0].rpartition("/")[0]):
        lines = list(of_folder)
        width = max(len(name) for name, _ in lines)
        for name, what in lines:
            print_line([Text(f"{name:{width}}  ", style="bold")], Text(what))
