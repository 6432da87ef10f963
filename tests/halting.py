"""Processes as a user starts them that wait at a place which a test has chosen: what they have done by then is decided.

`killing` does the same for runs that it forks itself. Here nothing of the process is known but its environment: every
Python below it runs `hooks/sitecustomize.py` as it starts, which watches what the process does to files.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any

HOOKS = Path(__file__).parent / "hooks"
PATIENCE_S = 300.0  # from a hang, not from slowness


def until(condition: Callable[[], object], process: "subprocess.Popen[Any] | None" = None) -> None:
    """Wait for what `process` is to bring about before it ends."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        if process is not None and process.poll() is not None and not condition():
            said = process.stderr.read() if process.stderr else ""
            raise AssertionError(f"it has ended with {process.returncode} before: {said}")
        assert time.monotonic() < give_up, "it takes too long"
        time.sleep(0.005)


def lines_until(stream: IO[str] | None, beginning: str) -> list[str]:
    """The lines that a process prints up to the one with this `beginning`; `communicate` would lose what follows."""
    lines: list[str] = []
    assert stream is not None
    for line in iter(stream.readline, ""):
        lines.append(line.rstrip("\n"))
        if line.startswith(beginning):
            return lines
    raise AssertionError(lines)


class Halt:
    """Within, each process waits before it does something to files of one name for the `number`-th time.

    `path` is a pattern for the whole path, and `event` what is done: "write", before it is opened, or "rename" to that
    path. A process continues when it has handled a signal, unless `until_signal` is False; and all do at the end.
    """

    def __init__(
        self, folder: Path, path: str, number: int = 1, *, event: str = "write", until_signal: bool = True
    ) -> None:
        self.folder = folder
        self.rule = {"path": path, "number": number, "event": event, "until_signal": until_signal}

    @property
    def environ(self) -> dict[str, str]:
        """What is to be in the environment of a process that may wait."""
        return environ(self.folder)

    def __enter__(self) -> "Halt":
        self.folder.mkdir(exist_ok=True)
        for notice in (*self.folder.glob("*.halted"), *self.folder.glob("*.signalled")):  # of a Halt before
            notice.unlink()
        written = self.folder / "rule.json.new"
        written.write_text(json.dumps(self.rule))
        written.rename(self.folder / "rule.json")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let all continue."""
        (self.folder / "rule.json").unlink(missing_ok=True)

    def there(self) -> list[int]:
        """The ids of the processes that wait."""
        return self._who("halted")

    def signalled(self) -> list[int]:
        """The ids of those that have handled a signal while they waited."""
        return self._who("signalled")

    def _who(self, what: str) -> list[int]:
        return sorted(int(notice.stem) for notice in self.folder.glob(f"*.{what}"))

    def reached(self, process: "subprocess.Popen[Any] | None" = None, *, processes: int = 1) -> list[int]:
        """Wait until so many processes do, which are `process` or below it; gives their ids."""
        until(lambda: len(self.there()) >= processes, process)
        return self.there()

    def kill(self, process: "subprocess.Popen[Any]") -> None:
        """SIGKILL `process` at the place, with nobody else there."""
        assert self.reached(process) == [process.pid]
        process.kill()
        process.communicate()


def environ(folder: Path) -> dict[str, str]:
    """For processes to which every Halt in the `folder` applies that comes while they are there."""
    path = os.pathsep.join(filter(None, [str(HOOKS), os.environ.get("PYTHONPATH")]))
    return {"PYTHONPATH": path, "HALTING": str(folder)}
