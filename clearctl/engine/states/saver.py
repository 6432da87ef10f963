"""Schedules the saving of a run's state: as often as in the config, but limited to a small part of the run's time."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import StateKey
from clearctl.progress import Listener, Message
from clearctl.strategies.snapshot.capture import CannotCaptureError

SHARE = 0.015  # of the time that saving may take; what it costs the run beside its own time is left to spare


class Saver:
    """Saves states into `folder`: at the start of each bucket, and in it as `every` says.

    `every` is 'epoch', 'bucket' or a number of seconds. With `in_background` files are written by a thread. A save
    that fails is reported to `listener`, and the run continues; the states before it stay. So does a run whose strategy
    holds what no state can.
    """

    def __init__(self, folder: Path, every: str | float, listener: Listener, *, in_background: bool) -> None:
        self.folder = folder
        self.every = every
        self.listener = listener
        self.in_background = in_background
        self.latest: StateKey | None = None  # that was written whole
        self._thread: threading.Thread | None = None
        self._cost_s = 0.0
        self._ended_at = time.monotonic()
        self._failure: str | None = None
        self._failing = False
        self._gave_up = False

    def is_due(self, *, epoch_ended: bool) -> bool:
        """Whether it is time for a state within a bucket, at the end of an epoch or between two of its steps."""
        if self.every == "bucket" or not (epoch_ended or isinstance(self.every, int | float)):
            return False
        if self._thread is not None and self._thread.is_alive():
            return False
        wanted_s = float(self.every) if isinstance(self.every, int | float) else 0.0
        return time.monotonic() - self._ended_at >= max(wanted_s, self._cost_s / SHARE)

    def save(self, key: StateKey, capture: Callable[[], dict[str, Any]], *, wait: bool = False) -> None:
        """Save what `capture` gives; with `wait` it is on disk afterwards, unless that failed."""
        self.finish()
        if self._gave_up:
            return
        started = time.monotonic()
        try:
            state = capture()
        except CannotCaptureError as error:
            self._gave_up = True
            self.listener(Message(f"no state of this run can be saved, so it cannot be resumed: {error}", True))
            return
        captured_s = time.monotonic() - started
        if self.in_background and not wait:
            self._thread = threading.Thread(target=self._write, args=(key, state, captured_s), name="clearctl state")
            self._thread.start()
        else:
            self._write(key, state, captured_s)
            self._report()

    def finish(self) -> None:
        """Wait until what is being written is on disk."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            self._report()

    def _write(self, key: StateKey, state: dict[str, Any], captured_s: float) -> None:
        started = time.monotonic()
        try:
            state_files.write(self.folder, key, state)
            self.latest, self._failure = key, None
        except Exception as error:  # an exception in a thread would be lost
            self._failure = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self._ended_at = time.monotonic()
        self._cost_s = captured_s + self._ended_at - started

    def _report(self) -> None:
        if self._failure is not None and not self._failing:
            self.listener(
                Message(
                    f"the state cannot be saved in {self.folder}: {self._failure}; the run continues, and the states"
                    " saved before stay valid",
                    warning=True,
                )
            )
        elif self._failure is None and self._failing:
            self.listener(Message("the state can be saved again"))
        self._failing = self._failure is not None
