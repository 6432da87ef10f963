"""Run by every Python that finds this folder on its path as it starts: lets it wait where `halting` wants it.

It watches the files that the process writes to and renames, of which Python says so just before it opens or renames
them.
"""

import fnmatch
import json
import os
import select
import signal
import sys
import threading
import time
from typing import Any

FOLDER = os.environ.get("HALTING", "")
RULE = os.path.join(FOLDER, "rule.json")
LOOK_S = 0.01
PATIENCE_S = 300.0  # for a test that was ended itself

EVENTS = {"write": "open", "rename": "os.rename"}  # as Python calls them

inside = threading.local()  # what this module does to files itself counts for nothing
known: tuple[tuple[int, int], dict[str, Any]] | None = None
seen = 0


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in EVENTS.values() or getattr(inside, "working", False):
        return
    inside.working = True
    try:
        rule = read_rule()
        if rule is not None and EVENTS[rule["event"]] == event and is_the_place(rule, arguments):
            wait(rule["until_signal"])
    finally:
        inside.working = False


def read_rule() -> dict[str, Any] | None:
    """What is to be waited for; None where there is nothing, or no more. For another rule counting starts over."""
    global known, seen
    try:
        status = os.stat(RULE)
    except OSError:
        return None
    version = status.st_ino, status.st_mtime_ns
    if known is None or known[0] != version:
        try:
            with open(RULE) as file:
                known, seen = (version, json.load(file)), 0
        except FileNotFoundError:
            return None
    return known[1]


def is_the_place(rule: dict[str, Any], arguments: tuple[Any, ...]) -> bool:
    global seen
    if rule["event"] == "write":
        path, _, flags = arguments
        if not flags & (os.O_WRONLY | os.O_RDWR):  # states have a copy of what was written so far, and come at any time
            return False
    else:
        path = arguments[1]  # the new name
    if not isinstance(path, str | bytes | os.PathLike) or not fnmatch.fnmatch(os.fsdecode(path), rule["path"]):
        return False
    seen += 1
    return seen == rule["number"]


def wait(until_signal: bool) -> None:
    """Say that the process is at the place, and wait until the rule is gone or, if so wanted, a signal was handled."""
    notice, heard = (os.path.join(FOLDER, f"{os.getpid()}.{name}") for name in ("halted", "signalled"))
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    hears = threading.current_thread() is threading.main_thread()
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False) if hears else -1
    give_up = time.monotonic() + PATIENCE_S
    try:
        touch(notice)
        while os.path.exists(RULE) and time.monotonic() < give_up:
            if select.select([reading], [], [], LOOK_S)[0]:
                os.read(reading, 1)
                touch(heard)
                if until_signal:
                    break
    finally:
        if hears:
            signal.set_wakeup_fd(before)
        os.close(reading)
        os.close(writing)
        os.unlink(notice)


def touch(path: str) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


if FOLDER:
    sys.addaudithook(watch)
