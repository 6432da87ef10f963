"""Lines in columns, of which the last has a text of any length."""

from collections.abc import Sequence

from rich.text import Text

from clearctl.cli.console import output


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
