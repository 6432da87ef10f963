"""What a terminal shows of a long command: the most important first, and nothing that does not fit."""

import io

import pytest
from rich.console import Console

from clearctl.cli.console import Output
from clearctl.cli.progress import Display
from clearctl.cli.streams import EscapingConsole
from clearctl.progress import Counted, EpochDone, Event, TrainStep

STEP = TrainStep("2009", 6, 10, 37, 100, 5, 13, num_samples=1280, seconds=0.1, loss=0.1234, accuracy=0.953)
DETAIL = ("loss 0.123", "accuracy 95.3 %", "epoch 37/100", "step 5/13", "12,800 samples/s")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that moves its cursor, wherever the tests run."""
    monkeypatch.setenv("TERM", "xterm")


def drawn(event: Event, width: int) -> str:
    """The line of the live display after `event`."""
    console = EscapingConsole(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
    display = Display(Output(stderr=console))
    assert display.live
    display.show(event)
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(display._bar.get_renderable())
    (line,) = stream.getvalue().splitlines()
    assert len(line) <= width
    return line.rstrip()


@pytest.mark.parametrize(("width", "shown"), [(60, 1), (80, 2), (90, 3), (100, 4), (120, 5), (200, 5)])
def test_bucket_bar_and_time_left_come_before_the_rest(width: int, shown: int) -> None:
    line = drawn(STEP, width)
    assert line.startswith("bucket 2009 (6/10) ━━━━━━━━━━╸ ")
    assert "--:--" in line  # no time is known yet
    assert line.split("--:-- ")[1] == "  ".join(DETAIL[:shown])


def test_a_terminal_that_cannot_draw_again_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    console = EscapingConsole(file=stream, force_terminal=True, width=80, color_system=None)
    with Display(Output(stderr=console)) as display:
        assert not display.live
        display.show(EpochDone("2009", 6, 10, 100, 100, num_samples=1280, seconds=0.1, loss=0.1, accuracy=0.9))
    assert stream.getvalue() == "bucket 2009 (6/10) epoch 100/100  loss 0.100  accuracy 90.0 %  12,800 samples/s\n"


def test_a_long_name_is_cut_and_what_follows_it_is_there() -> None:
    event = TrainStep("a name that is much longer than a line has room for", 6, 10, 37, 100, 5, 13, 1280, 0.1, 0.1, 0.9)
    line = drawn(event, 80)
    assert line.startswith("bucket a name that is much long… ━━━━━━━━━━╸")
    assert line.endswith("--:-- loss 0.100")


def test_an_epoch_of_a_head_that_is_solved_says_with_which_lambda() -> None:
    event = EpochDone("2009", 6, 10, 1, 1, num_samples=1280, seconds=0.1, loss=0.1, accuracy=0.9, ridge_lambda=0.01)
    assert drawn(event, 200).endswith("loss 0.100  accuracy 90.0 %  epoch 1/1  12,800 samples/s  ridge_lambda 0.01")


def test_counted_work_says_how_far_it_is() -> None:
    event = Counted("decoding images", 1_200, 165_000, "images")
    assert drawn(event, 80).endswith("--:-- 1,200/165,000 images")
    assert drawn(event, 50).endswith("--:--")
