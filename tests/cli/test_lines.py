"""Labels in narrow columns."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from clearctl.cli.lines import Label


def column(label: Label, width: int) -> list[str]:
    table = Table(box=None, show_header=False, padding=0)
    table.add_column(overflow="fold")
    table.add_row(label)
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "after", "lines"),
    [
        ("ewc,lr=0.1,type=Naive", ",", ["ewc,lr=0.1,", "type=Naive"]),
        ("quickstart, lr=0.004281, n=2", ",", ["quickstart,", "lr=0.004281,", "n=2"]),
        ("short", ",", ["short"]),
        ("", ",", [""]),
        (",,a,", ",", [",,a,"]),
        ("no_comma_in_this_name", ",", ["no_comma_in_", "this_name"]),  # cut, where nothing else helps
        ("model.head.in_channels", ".", ["model.head.", "in_channels"]),
        ("概念漂移,时间桶,学习率", ",", ["概念漂移,", "时间桶,", "学习率"]),  # two columns a letter
    ],
)
def test_a_label_is_broken_between_its_parts(text: str, after: str, lines: list[str]) -> None:
    assert column(Label(text, after=after), 12) == lines
    assert column(Label(text, after=after), 80) == [text]
