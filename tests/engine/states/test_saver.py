"""When states are saved, how much of the time that may take, and what happens where it fails."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clearctl.engine.states import files as state_files
from clearctl.engine.states import saver as saver_module
from clearctl.engine.states.files import StateKey
from clearctl.engine.states.saver import Saver
from clearctl.progress import Event, Message
from clearctl.strategies.snapshot.capture import CannotCaptureError

SLOW_S = 2.0


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """[the time], by a clock that only the test moves."""
    seconds = [1000.0]
    monkeypatch.setattr(saver_module, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    return seconds


@pytest.fixture
def reported() -> list[Event]:
    return []


def saver(folder: Path, reported: list[Event], every: str | float = "epoch", in_background: bool = False) -> Saver:
    return Saver(folder, every, reported.append, in_background=in_background)


@pytest.mark.parametrize("in_background", [True, False])
def test_saving_takes_no_more_than_its_share(
    tmp_path: Path, reported: list[Event], now: list[float], in_background: bool
) -> None:
    def capture() -> dict[str, Any]:
        now[0] += SLOW_S
        return {"files": {}}

    one = saver(tmp_path, reported, in_background=in_background)
    one.save(StateKey(0), capture)
    one.finish()
    assert not one.is_due(epoch_ended=True)
    ended = now[0]
    now[0] = ended + SLOW_S / saver_module.SHARE - 0.01
    assert not one.is_due(epoch_ended=True)
    now[0] = ended + SLOW_S / saver_module.SHARE + 0.01
    assert one.is_due(epoch_ended=True)


@pytest.mark.parametrize(
    ("every", "at_epoch", "at_step"), [("epoch", True, False), ("bucket", False, False), (5.0, True, True)]
)
def test_each_kind_has_its_moments(
    tmp_path: Path, reported: list[Event], now: list[float], every: str | float, at_epoch: bool, at_step: bool
) -> None:
    one = saver(tmp_path, reported, every)
    now[0] += 5.0
    assert one.is_due(epoch_ended=True) == at_epoch
    assert one.is_due(epoch_ended=False) == at_step


def test_seconds_are_waited_for(tmp_path: Path, reported: list[Event], now: list[float]) -> None:
    one = saver(tmp_path, reported, every=3600)
    now[0] += 3599.0
    assert not one.is_due(epoch_ended=True)


def test_a_save_in_the_background_does_not_hold_up_and_is_done_in_order(tmp_path: Path, reported: list[Event]) -> None:
    one = saver(tmp_path, reported, in_background=True)
    for epochs in range(1, 6):
        one.save(StateKey(0, epochs), lambda: {"files": {}})
    one.save(StateKey(1), lambda: {"files": {}}, wait=True)
    assert one.latest == StateKey(1)
    assert StateKey(1) in state_files.state_keys(tmp_path)


@pytest.mark.parametrize("in_background", [True, False])
def test_a_disk_that_is_full_is_reported_once_and_the_run_continues(
    tmp_path: Path, reported: list[Event], in_background: bool
) -> None:
    folder = tmp_path / "state"
    one = saver(folder, reported, in_background=in_background)
    one.save(StateKey(0), lambda: {"files": {}}, wait=True)
    whole = (folder / "bucket_0000.state").read_bytes()
    for epochs in (1, 2):  # a name there that no file can take
        (folder / StateKey(0, epochs).file_name).mkdir()
        one.save(StateKey(0, epochs), lambda: {"files": {}})
        one.finish()
    assert [event.warning for event in reported if isinstance(event, Message)] == [True]
    assert "the state cannot be saved" in str(reported[0])
    assert "the states saved before stay valid" in str(reported[0])
    assert one.latest == StateKey(0)
    assert (folder / "bucket_0000.state").read_bytes() == whole
    for epochs in (1, 2):
        (folder / StateKey(0, epochs).file_name).rmdir()
    one.save(StateKey(0, 3), lambda: {"files": {}}, wait=True)
    assert "the state can be saved again" in str(reported[-1])


def test_what_cannot_be_captured_is_reported_once_and_not_tried_again(tmp_path: Path, reported: list[Event]) -> None:
    one = saver(tmp_path, reported)
    tries: list[int] = []

    def refuse() -> dict[str, Any]:
        tries.append(1)
        raise CannotCaptureError("strategy.loader is a generator")

    for epochs in range(3):
        one.save(StateKey(0, epochs), refuse)
    assert len(tries) == 1
    text = "no state of this run can be saved, so it cannot be resumed: strategy.loader is a generator"
    assert reported == [Message(text, warning=True)]
    assert state_files.state_keys(tmp_path) == []
