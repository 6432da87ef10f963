"""Shows a long command's events: live bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from clearctl.cli.console import Output
from clearctl.progress import BucketDone, Counted, EpochDone, Event, Message, TrainStep
from clearctl.units import duration, percent

PLAIN_PERIOD_S = 10.0
BAR_WIDTH = 20
NAME_WIDTH = 32  # of a bucket, or of what is done; what is longer is cut


class Display:
    """A listener. Use it as a context manager, and pass its `show` to the library call."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.live = output.live
        self._printed_at = time.monotonic()
        self._trained: tuple[float, float] | None = (
            None  # when a training step was first reported, and how much was done
        )
        self._bar = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=NAME_WIDTH)),
            BarColumn(bar_width=BAR_WIDTH, table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            _DetailColumn(table_column=Column()),  # the one that is narrowed where a line is too long
            console=output.stderr,
            transient=True,
            disable=not self.live,
            speed_estimate_period=60.0,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[float, int]] = {}  # of each Counted work: when it was first reported, and how far

    def __enter__(self) -> "Display":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Draw or print `event`."""
        if isinstance(event, Message):
            self.output.message(event.text, event.warning)
        elif isinstance(event, TrainStep):
            self._train_step(event)
        elif isinstance(event, EpochDone):
            self._epoch_done(event)
        elif isinstance(event, BucketDone):
            self._bucket_done(event)
        else:
            self._counted(event)

    def _train_step(self, event: TrainStep) -> None:
        done = fraction_done(event, event.step / event.num_steps)
        self._trained = self._trained or (time.monotonic(), done)
        if self.live:
            step = f"step {event.step}/{event.num_steps}"
            self._update("train", _bucket(event), done, 1.0, [*_learned(event), _epoch(event), step, _speed(event)])
        elif self._print_is_due():
            step = f"step {event.step}/{event.num_steps}"
            self.output.message(f"{_place(event)}  {step}  {_learning(event)}{self._left(done)}")

    def _epoch_done(self, event: EpochDone) -> None:
        if self.live:
            detail = [*_learned(event), _epoch(event), _speed(event), *_solved(event)]
            self._update("train", _bucket(event), fraction_done(event, 1.0), 1.0, detail)
        elif event.epoch == event.num_epochs or self._print_is_due():
            self._printed_at = time.monotonic()
            self.output.message(f"{_place(event)}  {_learning(event)}")

    def _bucket_done(self, event: BucketDone) -> None:
        own = percent(event.accuracies[event.bucket_number - 1])
        mean = percent(sum(event.accuracies) / len(event.accuracies))
        images = "training images" if event.on_training_images else "test images"
        self.output.message(
            f"bucket {event.bucket} ({event.bucket_number}/{event.num_buckets}):"
            f" accuracy {own} % on its {images}, {mean} % on all; {duration(event.seconds)}"
        )

    def _left(self, done: float) -> str:
        """The remaining time of the training, by its share that was `done` since its first step was reported."""
        if self._trained is None or done <= self._trained[1]:
            return ""
        began, first = self._trained
        return f"  {duration((time.monotonic() - began) * (1 - done) / (done - first))} left"

    def _counted(self, event: Counted) -> None:
        rate = self._rate(event)
        counted, speed = f"{event.done:,}/{event.total:,} {event.unit}", _per_second(rate, event.unit)
        if self.live:
            self._update(event.work, event.work, event.done, event.total, [counted, speed])
            if event.done >= event.total:
                self._drop(event.work)
        elif self._print_is_due():
            left = f"  {duration((event.total - event.done) / rate)} left" if rate else ""
            self.output.message(f"{event.work}: {counted}{'  ' * bool(speed)}{speed}{left}")

    def _rate(self, event: Counted) -> float:
        """Units a second since the first event of the work; 0 within the first second."""
        now = time.monotonic()
        began, first = self._began.get(event.work, (now, event.done))
        if event.done < first:  # started over
            began, first = now, event.done
        self._began[event.work] = began, first
        return (event.done - first) / (now - began) if now - began >= 1.0 else 0.0

    def _update(self, task: str, description: str, done: float, total: float, detail: Sequence[str]) -> None:
        if task not in self._tasks:
            self._tasks[task] = self._bar.add_task(description, total=total, detail=detail)
        self._bar.update(self._tasks[task], description=description, completed=done, total=total, detail=detail)

    def _drop(self, task: str) -> None:
        self._began.pop(task, None)
        if task in self._tasks:
            self._bar.remove_task(self._tasks.pop(task))
            self._bar.refresh()  # else the next line printed still has it below

    def _print_is_due(self) -> bool:
        if time.monotonic() - self._printed_at < PLAIN_PERIOD_S:
            return False
        self._printed_at = time.monotonic()
        return True


class _DetailColumn(ProgressColumn):
    """The `detail` of a task, as many parts of it as fit, the most important first."""

    def render(self, task: Task) -> "_AsFits":
        return _AsFits([part for part in task.fields["detail"] if part])


class _AsFits:
    """Parts of a line, separated by two blanks; those at the end that do not fit are left out."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = ""
        for part in self.parts:
            longer = f"{line}  {part}" if line else part
            if cell_len(longer) > options.max_width:
                break
            line = longer
        yield Text(line, no_wrap=True)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(0, min(cell_len("  ".join(self.parts)), options.max_width))


def _per_second(rate: float, unit: str) -> str:
    """`12.5 MB/s`, or nothing if it would be 0."""
    if rate < 0.05:
        return ""
    return f"{rate:,.0f} {unit}/s" if rate >= 100 else f"{rate:.1f} {unit}/s"


def _place(event: TrainStep | EpochDone) -> str:
    return f"{_bucket(event)} {_epoch(event)}"


def _bucket(event: TrainStep | EpochDone) -> str:
    return f"bucket {event.bucket} ({event.bucket_number}/{event.num_buckets})"


def _epoch(event: TrainStep | EpochDone) -> str:
    return f"epoch {event.epoch}/{event.num_epochs}"


def _learning(event: TrainStep | EpochDone) -> str:
    return "  ".join([*_learned(event), _speed(event), *_solved(event)])


def _learned(event: TrainStep | EpochDone) -> list[str]:
    return [f"loss {short(event.loss)}", f"accuracy {percent(event.accuracy)} %"]


def _speed(event: TrainStep | EpochDone) -> str:
    return f"{event.num_samples / max(event.seconds, 1e-9):,.0f} samples/s"


def _solved(event: TrainStep | EpochDone) -> list[str]:
    solved = event.ridge_lambda if isinstance(event, EpochDone) else None
    return [] if solved is None else [f"ridge_lambda {solved:g}"]


def short(loss: float) -> str:
    """A loss in few letters, however large it is: `0.693`, `1.23e+38`, `nan`."""
    return f"{loss:.3f}" if abs(loss) < 1000 else f"{loss:.3g}"


def fraction_done(event: TrainStep | EpochDone, of_epoch: float) -> float:
    """The fraction of the stream's training that is done, with all epochs counted as equally long."""
    epochs = (event.bucket_number - 1) * event.num_epochs + event.epoch - 1 + of_epoch
    return epochs / (event.num_buckets * event.num_epochs)
