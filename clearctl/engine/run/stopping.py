"""Ctrl-C and SIGTERM as a request to stop, which a run follows after its current step."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from clearctl.progress import Message

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = Message("stopping after this step; a second signal stops immediately")


class StopRequest:
    """`signum` is the signal that asked for the end, or None."""

    def __init__(self) -> None:
        self.signum: int | None = None


@contextmanager
def catch_stop_signals(listener: Callable[[Message], None]) -> Iterator[StopRequest]:
    """A context in which the first signal is noted in the StopRequest and reported; a second one acts as usual.

    Outside of the main thread, where Python has no signals, there is never a request.
    """
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop_request
        return
    owner = os.getpid()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    report = sys.unraisablehook

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def take(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a worker process, which its parent will end: Ctrl-C reaches all of a terminal's
            return
        stop_request.signum = number
        put_back()
        with suppress(RuntimeError, OSError):  # the signal came in the middle of a print, or ended its reader too
            listener(STOPPING)

    def report_others(unraisable: "sys.UnraisableHookArgs") -> None:
        # A second Ctrl-C in a finalizer, say a loader's that ends its workers, goes no further: the first still counts.
        # And Python says so where a signal comes while its handler is restored.
        late = unraisable.exc_type is OSError and "race condition" in str(unraisable.exc_value)
        if unraisable.exc_type is not KeyboardInterrupt and not late:
            report(unraisable)

    for number in SIGNALS:
        if before[number] is not signal.SIG_IGN:  # as in shells for Ctrl-C in background jobs
            signal.signal(number, take)
    sys.unraisablehook = report_others
    try:
        yield stop_request
    finally:
        put_back()
        sys.unraisablehook = report
