"""Imports in a separate process: one that crashes, hangs or calls sys.exit is reported, and does not end the command.

And after `--fix` a new process sees what was installed.
"""

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearctl.progress import Counted, Listener, ignore

PROBE = Path(__file__).with_name("probe.py")
LONGEST_S = 120.0  # of one import: over a slow network file system torch's takes a minute


@dataclass(frozen=True)
class Imported:
    """The outcome of importing one module.

    `error` is why it failed, `missing` the module that was not found, where that is why. `version` is the module's own
    word. `facts` is what `probe.FACTS` found out of it, and `facts_error` why that failed.
    """

    module: str
    error: str | None = None
    missing: str | None = None
    version: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    facts_error: str | None = None


def import_all(
    modules: Sequence[str], listener: Listener = ignore, *, longest_s: float = LONGEST_S
) -> dict[str, Imported]:
    """{module: how its import went}, imported in this order by as few child processes as survive."""
    found: dict[str, Imported] = {}
    while left := [name for name in modules if name not in found]:
        for answer in _in_one_process(left, longest_s):
            found[answer.module] = answer
            listener(Counted("import the libraries", len(found), len(modules), "modules"))
    return found


def _in_one_process(modules: Sequence[str], longest_s: float) -> Iterator[Imported]:
    """Yields the answers of one child; for the module at which it ends early, the reason."""
    child = subprocess.Popen(
        [sys.executable, str(PROBE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,  # or `select` would not see the line that is in the buffer already
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child.stdin as stdin:
            stdin.write(json.dumps({"path": list(map(str, sys.path)), "modules": list(modules)}).encode())
        for name in modules:
            line = _line(child, longest_s)
            if line is None:
                yield Imported(name, error=f"its import did not end within {longest_s:g} s")
                return
            if not line:
                yield Imported(name, error=f"its import ends Python ({_end(child.wait())})")
                return
            yield Imported(**json.loads(line))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def _line(child: "subprocess.Popen[bytes]", longest_s: float) -> bytes | None:
    """The next line that `child` writes; empty if it has ended, None if neither happens in time."""
    assert child.stdout is not None
    until = time.monotonic() + longest_s
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([child.stdout], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        letter = child.stdout.read(1)
        if not letter:
            return b""
        line += letter
    return line


def _end(code: int) -> str:
    """`signal SIGSEGV`, or `exit code 3`."""
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
