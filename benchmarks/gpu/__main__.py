"""`make gpu-check`: everything that only a GPU can show, in less than eight minutes, part by part.

Each part has a process and its own limit: one that fails or hangs stops no other, and what it has found is kept.
OUT/gpu-check.json has all findings and the machine, OUT/log.txt what the parts said. Ends with 1 if a part did not run
to its end or found something wrong; a speed that misses its goal is only reported. --small has tiny data, for a machine
without a GPU: the same code, and times that mean nothing.
"""

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
from dataclasses import replace
from multiprocessing.context import BaseContext
from pathlib import Path

from benchmarks.gpu.check import ROOT, Check
from benchmarks.gpu.findings import read
from benchmarks.gpu.job import Job, forkserver
from benchmarks.gpu.parts import BACKGROUND, PARTS, Part
from benchmarks.gpu.runner import SLACK, Outcome, Runner
from benchmarks.gpu.summary import show

SECONDS = 465
MACHINE = Part(
    "machine", 120, "benchmarks.gpu.machine:run", "whether the device can be used where a sweep's runs are forked"
)


def main() -> int:
    """Run the parts and print what they found; 1 if one of them failed, 6 if the device cannot be used."""
    arguments = _arguments()
    _set_environment(arguments.small)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the parts are ended too
    arguments.out.mkdir(parents=True, exist_ok=True)
    log = arguments.out / "log.txt"
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="clearctl-gpu-check-", dir=arguments.work) as folder:
        check = Check(arguments.device, arguments.small, Path(folder), os.cpu_count() or 1)
        forked, spawned = forkserver(), multiprocessing.get_context("spawn")
        machine, context = _machine(forked, check, log), forked
        if not machine.passed:  # the parts can still do their work in processes that nobody forked
            context, again = spawned, _machine(spawned, check, log)
            if not again.passed:
                print(f"--device {check.device} cannot be used: {again.why}", file=sys.stderr)
                return 6
            machine = replace(machine, findings=again.findings)
        runner = Runner(context, check, arguments.out, arguments.seconds, machine, _say)
        outcomes = runner.run([part for part in PARTS if part.name in arguments.parts], BACKGROUND)
    show(outcomes, arguments.small)
    print(f"all findings: {arguments.out / 'gpu-check.json'}; what the parts said: {log}")
    return int(not all(outcome.passed for outcome in outcomes))


def _machine(context: BaseContext, check: Check, log: Path) -> Outcome:
    """Whether the device can be used in processes of this kind."""
    file = check.folder / f"machine-{context.get_start_method()}.json"
    job = Job(context, MACHINE, check, file, log)
    try:
        code = job.wait(MACHINE.limit_s)
    finally:
        job.kill()
    errors = [finding.value["error"] for finding in read(file) if finding.fails]
    why = errors[0].partition("\n")[0] if errors else "" if code == 0 else f"see {log}"
    return Outcome(MACHINE.name, "failed" if why else "passed", job.seconds, MACHINE.limit_s, read(file), why)


def _arguments() -> argparse.Namespace:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which, all by default: {', '.join(names)}")
    parser.add_argument("--device", default="cuda", metavar="cuda|cpu", help="cuda, cuda:N, or with --small cpu")
    parser.add_argument("--small", action="store_true", help="tiny data, to try the check without a GPU")
    parser.add_argument("--seconds", type=float, help=f"for everything; by default {SECONDS}, or more with --small")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), metavar="DIR", help="for the result and the log")
    parser.add_argument("--work", type=Path, metavar="DIR", help="for data and runs, which are removed at the end")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.parts if name not in names]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}: there are {', '.join(names)}")
    if arguments.device == "cpu" and not arguments.small:
        parser.error("--device cpu: expected --small with it, the whole sizes are for a GPU")
    arguments.parts = arguments.parts or names
    arguments.seconds = arguments.seconds or SECONDS * (SLACK if arguments.small else 1)
    return arguments


def _set_environment(small: bool) -> None:
    """What every process of the check inherits; the root is on their path wherever the check was started from."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")  # what the libraries say at import
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, before the first part is deterministic
    if small:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
