"""The first signal is a request to stop, the second ends the process."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from clearctl.engine.run.stopping import catch_stop_signals
from clearctl.progress import Event, Message, ignore


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """Shells start background jobs with SIGINT ignored, and tests may run in one."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_is_kept_and_reported(number: int) -> None:
    reported: list[Event] = []
    with catch_stop_signals(reported.append) as stop_request:
        assert stop_request.signum is None
        signal.raise_signal(number)
        assert stop_request.signum == number
    assert reported == [Message("stopping after this step; a second signal stops immediately")]


def test_the_second_acts_as_ever() -> None:
    with catch_stop_signals(ignore):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_second_that_comes_in_a_finalizer_prints_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[type[BaseException] | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))

    class Loader:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    class Faulty:
        def __del__(self) -> None:
            raise ValueError

    with catch_stop_signals(ignore) as stop_request:
        for _ in range(2):
            Loader()
        assert stop_request.signum == signal.SIGINT
        Faulty()
        assert reported == [ValueError]
    Faulty()
    assert reported == [ValueError] * 2


def test_afterwards_all_is_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with catch_stop_signals(ignore):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_listener_that_is_in_the_middle_of_a_print_does_no_harm() -> None:
    def reenter(event: Event) -> None:
        raise RuntimeError("reentrant call")

    with catch_stop_signals(reenter) as stop_request:
        signal.raise_signal(signal.SIGINT)
        assert stop_request.signum == signal.SIGINT


def test_in_a_thread_there_are_no_signals() -> None:
    found: list[int | None] = []

    def run() -> None:
        with catch_stop_signals(ignore) as stop_request:
            found.append(stop_request.signum)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [None]


def test_a_forked_worker_lets_ctrl_c_pass_and_its_parent_end_it() -> None:
    here, there = multiprocessing.Pipe()

    def work() -> None:
        there.send("ready")
        while True:
            there.send(there.recv())

    with catch_stop_signals(ignore) as stop_request:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        assert worker.pid is not None
        assert here.recv() == "ready"
        os.kill(worker.pid, signal.SIGINT)
        here.send("still there")  # which it reads after the signal, that was there before
        assert here.recv() == "still there"
        assert worker.is_alive()
        assert stop_request.signum is None
        worker.kill()
        worker.join()


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with catch_stop_signals(ignore) as stop_request:
        signal.raise_signal(signal.SIGINT)
        assert stop_request.signum is None
