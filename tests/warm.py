"""`clearctl COMMAND` in a process of its own that has imported the libraries already: forked, as `killing` forks runs.

What it does and prints is the same as in a new interpreter; what it imports, and how fast it starts, is not.
"""

import gc
import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from killing import CONTEXT, PATIENCE_S

_OF_A_SHELL = set("|&;<>()`")


def is_plain(command: str) -> bool:
    """Whether a command line is `clearctl` and its words, which may be patterns of files, and needs no shell else."""
    return command.startswith("clearctl ") and not _OF_A_SHELL & set(command)


def run_warm(command: str, folder: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What the command line, for which `is_plain`, does and prints in `folder`."""
    printed = subprocess.run(
        f"printf '%s\\0' {command}",
        shell=True,
        cwd=folder,
        env=dict(environ),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = printed.split("\0")[1:-1]
    output, errors = (folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr"))
    process = CONTEXT.Process(target=_run, args=(words, folder, dict(environ), output, errors))
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{shlex.join(words)} did not end in {PATIENCE_S:.0f} s")
    return subprocess.CompletedProcess(command, process.exitcode, output.read_text(), errors.read_text())


def _run(words: Sequence[str], folder: Path, environ: dict[str, str], output: Path, errors: Path) -> None:
    gc.freeze()  # a collection would write to, and so copy, all that the server has imported
    multiprocessing.set_start_method("fork", force=True)  # as in any process but one of a fork server
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    for number, file in ((1, output), (2, errors)):
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    sys.argv = ["clearctl", *words]
    from clearctl.__main__ import main

    try:
        main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
