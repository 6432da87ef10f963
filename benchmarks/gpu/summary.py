"""The table at the end."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.gpu.runner import Outcome

WIDTH = 60  # of a value
COLOURS = {"passed": "green", "right": "green", "met": "green", "missed": "yellow", "not measured": "yellow", "": ""}


def show(outcomes: Sequence[Outcome], small: bool) -> None:
    """A row for each finding that is judged, and one for each part; figures are in the JSON file alone."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    machine = {finding.name: finding.value for finding in outcomes[0].findings}
    title = "{device}, torch {torch}, Python {python}".format(**machine)
    if machine.get("driver"):
        title += f", driver {machine['driver']}"
    table = Table(title=title + (", small sizes: the goals are a GPU's" if small else ""))
    for column in ("part", "finding", "found", "wanted", "verdict"):
        table.add_column(column)
    for outcome in outcomes:
        why = outcome.why if outcome.state != "failed" or not outcome.findings else ""
        table.add_row(outcome.name, f"{outcome.seconds:.0f} s", why, "", _coloured(outcome.state))
        for finding in outcome.findings:
            if finding.kind != "figure":
                cells = finding.name, _short(finding.value), finding.wanted, _coloured(finding.verdict)
                table.add_row("", *cells)
    console.print(table)


def _coloured(word: str) -> Text:
    return Text(word, COLOURS.get(word, "bold red"))


def _short(value: Any) -> str:
    if isinstance(value, dict) and "error" in value:
        value = value["error"]
    text = f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
