"""Shows a sweep's events: a live table on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clearctl.cli.console import Output
from clearctl.cli.lines import Label
from clearctl.cli.progress import PLAIN_PERIOD_S
from clearctl.cli.sweep_rows import DIVERGED, Row, time_left
from clearctl.engine.divergence import place
from clearctl.metrics import HEADLINE, NUMBERS
from clearctl.progress import Message
from clearctl.sweep.outcome import RunEnded, RunOutcome, RunProgress, RunStarted, SweepEvent
from clearctl.sweep.plan import PlannedRun
from clearctl.units import duration, percent

_STYLES = {"finished": "green", "failed": "bold red", "stopped": "yellow", "waiting": "dim", DIVERGED: "bold red"}
_OTHER_COLUMNS = 50  # how wide all but the first and the headline number are
_OTHER_LINES = 5  # of the screen: the heading, the overall state, what is left out, and room for a prompt
_REDRAWS_PER_S = 4


class SweepDisplay:
    """A listener. Use it as a context manager, and pass its `show` to the library call.

    `measured_on` names the images that the accuracies are of, if they are not the test images.
    """

    def __init__(self, output: Output, runs: Sequence[PlannedRun], measured_on: str = "") -> None:
        self.output = output
        self._heading = f"{measured_on} {NUMBERS[HEADLINE].title}".strip()
        self.rows = [Row(run) for run in runs]
        self._said_at = self._began = time.monotonic()
        self._warned: set[str] = set()
        self._live = (
            Live(get_renderable=self._render, console=output.stderr, refresh_per_second=_REDRAWS_PER_S)
            if output.live
            else None
        )

    def __enter__(self) -> "SweepDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, event: SweepEvent) -> None:
        """Draw or print `event`."""
        if isinstance(event, Message):
            self.output.message(event.text, event.warning)
            return
        row = self.rows[event.index]
        if isinstance(event, RunProgress) and isinstance(event.event, Message):
            self._warn(row, event.event)
            return
        row.update(event)
        if self._live is None:
            self._say(row, event)

    @property
    def failed(self) -> list[tuple[PlannedRun, RunOutcome]]:
        """The runs that failed so far."""
        return [(row.planned, row.outcome) for row in self.rows if row.outcome and row.status == "failed"]

    def _warn(self, row: Row, message: Message) -> None:
        """Print each warning once; other messages are in the run's own log, or in the table."""
        if message.warning and message.text not in self._warned:
            self._warned.add(message.text)
            self.output.message(f"{message.text} (first in {row.name})", warning=True)

    def _say(self, row: Row, event: RunStarted | RunProgress | RunEnded) -> None:
        """Print a line when a run begins or ends, and one from time to time in between."""
        if isinstance(event, RunStarted):
            self.output.message(f"{row.name}: {'resumed' if row.planned.state == 'resume' else 'started'}")
        elif isinstance(event, RunEnded):
            outcome = event.outcome
            if outcome.status == "finished":
                text = f"{self._heading} {percent(row.headline)} %" if row.headline is not None else ""
                if outcome.diverged is not None:
                    text = f"diverged, in {place(outcome.diverged)}"
            else:
                text = outcome.error.partition("\n")[0]
            self.output.message(f"{row.name}: {outcome.status} after {duration(outcome.seconds)}: {text}")
        elif time.monotonic() - self._said_at >= PLAIN_PERIOD_S:
            self._said_at = time.monotonic()
            self.output.message(self._overall())

    def _overall(self) -> str:
        """`3 of 10 runs finished, 1 failed, 2 running, 4 min 05 s left`."""
        count = Counter(row.status for row in self.rows)
        parts = [f"{count['finished']} of {len(self.rows)} runs finished"]
        parts += [f"{count[status]} {status}" for status in ("failed", "stopped", "running") if count[status]]
        left = time_left(self.rows)
        if left is not None:
            parts.append(f"{duration(left)} left")
        return ", ".join(parts)

    def _render(self) -> RenderableType:
        console = self.output.stderr
        rows = _chosen(self.rows, max(1, console.height - _OTHER_LINES))
        lines: list[RenderableType] = [_table(rows, console.width, f"{self._heading} (%)")]
        if len(rows) < len(self.rows):
            shown = {id(row) for row in rows}
            count = Counter(row.status for row in self.rows if id(row) not in shown)
            lines.append(Text(f"and {', '.join(f'{number} {status}' for status, number in count.items())}", "dim"))
        spent = duration(time.monotonic() - self._began)
        lines.append(Text(f"{self._overall()}, {spent} so far", "bold", no_wrap=True, overflow="ellipsis"))
        return Group(*lines)


def _chosen(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` rows, in the order of the plan: those of the running runs, then of the latest ended, the next."""
    if len(rows) <= most:
        return list(rows)
    running = [row for row in rows if row.status == "running"]
    ended = sorted((row for row in rows if row.ended_at), key=lambda row: row.ended_at, reverse=True)
    waiting = [row for row in rows if row.status == "waiting"]
    shown = {id(row) for row in [*running, *ended, *waiting][:most]}
    return [row for row in rows if id(row) in shown]


def _table(rows: Sequence[Row], width: int, headline: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("run", no_wrap=True)
    for heading in ("seed", "state", "bucket", "epoch", headline, "time", "left"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "state" else "right", overflow="ellipsis")
    room = max(12, width - _OTHER_COLUMNS - len(headline))
    for row in rows:
        cells = (row.bucket, row.epoch, "" if row.headline is None else percent(row.headline))
        spent, left = row.spent_s(), row.left_s()
        times = ("" if spent is None else duration(spent), "" if left is None else duration(left))
        state = Text(row.doing, _STYLES.get(row.doing, ""))
        table.add_row(shortened(row.planned.label, room), str(row.planned.seed), state, *cells, *times)
    return table


def plan_table(runs: Sequence[PlannedRun]) -> Table:
    """A line for each label and state, with the seeds."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("run", "seeds", "state"):
        table.add_column(heading, overflow="fold")
    seeds: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        seeds.setdefault((run.label, run.state), []).append(run.seed)
    words = {"new": "new", "resume": "to resume", "finished": "finished"}
    for (label, state), numbers in seeds.items():
        table.add_row(Label(label), as_ranges(numbers), Text(words[state], _STYLES.get(state, "")))
    return table


def as_ranges(seeds: Sequence[int]) -> str:
    """`0-4,7` for 0, 1, 2, 3, 4, 7."""
    parts: list[list[int]] = []
    for seed in sorted(seeds):
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def shortened(text: str, width: int) -> str:
    """`text`, its middle left out if it is longer than `width`: labels often differ at their ends."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
