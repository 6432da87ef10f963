"""Timeouts and retries for a server that is slow or silent."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Patience:
    """Limits for giving up. `retries` times in a row the connection may break without having delivered anything new.

    Before each retry is a pause, `pause_s` at first and twice as long after each that delivered nothing.

    A server that sends a byte now and then never runs into `read_timeout_s`. So a connection that delivers less than
    `slowest_bytes_s` on average for `slow_for_s` is given up and counts as one that delivered nothing, all redirects
    and headers together have `answer_timeout_s`, and the whole download `longest_s`.
    """

    retries: int = 5
    pause_s: float = 1.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    answer_timeout_s: float = 120.0
    slowest_bytes_s: float = 1000.0
    slow_for_s: float = 60.0
    longest_s: float = 72 * 3600.0


PATIENCE = Patience()


class BrokenError(Exception):
    """The connection could not be made or ended before the file did; another try may help."""


class SlowError(BrokenError):
    """The connection was too slow."""


class RateLimit:
    """Notices a connection that delivers less than `Patience.slowest_bytes_s`."""

    def __init__(self, patience: Patience, position: int) -> None:
        self._patience = patience
        self._since_s, self._from = time.monotonic(), position

    def check(self, position: int) -> None:
        """Note that `position` bytes of the file have been received. Raises SlowError."""
        seconds = time.monotonic() - self._since_s
        if seconds < self._patience.slow_for_s:
            return
        rate = (position - self._from) / seconds
        if rate < self._patience.slowest_bytes_s:
            raise SlowError(f"only {rate:,.0f} bytes a second came in the last {seconds:,.0f} s")
        self._since_s, self._from = time.monotonic(), position


def call_with_timeout(seconds: float, call: Callable[[], Answer]) -> Answer:
    """Return or raise what `call` does; raise TimeoutError after `seconds`, with `call` left running.

    The timeouts of requests are those of each read from the socket: headers may come in a byte at a time.
    """
    answers: list[Answer | BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise TimeoutError
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]
