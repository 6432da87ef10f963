"""Runs the parts one after another, each under its limit, and the background jobs next to them."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Literal

from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Finding, read
from benchmarks.gpu.job import Job
from benchmarks.gpu.parts import Part
from clearctl import atomic

State = Literal["passed", "failed", "cut", "no time"]
LEAST_S = 8  # with less than this left no part is started
SLACK = 5  # how many times as long a part may take with --small, on a machine that has other work


@dataclass(frozen=True)
class Outcome:
    """How a part ended; `why` says what else there is to say of that than its findings."""

    name: str
    state: State
    seconds: float
    limit_s: float
    findings: list[Finding] = field(default_factory=list)
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether it ran to its end and found everything right."""
        return self.state == "passed"

    def figures(self) -> dict[str, Any]:
        """For the JSON file."""
        return {**asdict(self), "findings": [{**asdict(each), "verdict": each.verdict} for each in self.findings]}


@dataclass
class Runner:
    """`seconds` is for everything; `out` gets the log and the result, which is written after each part.

    `machine` is what was found before, which is the first outcome.
    """

    context: BaseContext
    check: Check
    out: Path
    seconds: float
    machine: Outcome
    say: Callable[[str], None]
    jobs: dict[str, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self.log = self.out / "log.txt"
        self.outcomes = [self.machine]

    @property
    def left_s(self) -> float:
        """Seconds until all of it must be over."""
        return self.seconds - (time.monotonic() - self.started)

    def run(self, parts: Sequence[Part], background: Sequence[Part]) -> list[Outcome]:
        """The outcomes of the machine and of each part."""
        try:
            self._begin([job for job in background if _is_needed(job, parts, background)])
            for part in parts:
                self.outcomes.append(self._one(part))
                self.write()
                self.say(self._line(self.outcomes[-1]))
        finally:
            for job in self.jobs.values():
                job.kill()
        return self.outcomes

    def write(self) -> None:
        """The result so far."""
        found = {
            "machine": {finding.name: finding.value for finding in self.machine.findings},
            "device": self.check.device,
            "small": self.check.small,
            "seconds": round(time.monotonic() - self.started, 1),
            "passed": all(outcome.passed for outcome in self.outcomes),
            "parts": {outcome.name: outcome.figures() for outcome in self.outcomes},
        }
        atomic.write_json(self.out / "gpu-check.json", found)

    def _begin(self, background: Sequence[Part]) -> None:
        """Start what is needed in the background; what needs another of them waits for it there."""
        for part in background:
            for name in part.needs:
                self._wait_for(name)
            self.jobs[part.name] = self._start(part)

    def _one(self, part: Part) -> Outcome:
        for name in part.needs:
            missing = self._wait_for(name)
            if missing:
                return Outcome(part.name, "failed", 0.0, part.limit_s, why=missing)
        limit = min(self._limit(part), self.left_s)
        if limit < LEAST_S:
            return Outcome(part.name, "no time", 0.0, part.limit_s, why="the parts before it took all of the time")
        with self._logged(part):
            job = self._start(part)
            try:
                code = job.wait(limit)
                return self._outcome(job, code, limit)
            finally:
                job.kill()

    def _outcome(self, job: Job, code: int | None, limit: float) -> Outcome:
        found = read(job.file)
        wrong = [finding.name for finding in found if finding.fails]
        if code is None:
            return Outcome(job.part.name, "cut", job.seconds, limit, found, f"it was still running after {limit:.0f} s")
        if code:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            return Outcome(job.part.name, "failed", job.seconds, limit, found, f"it ended with {how}: see {self.log}")
        return Outcome(job.part.name, "failed" if wrong else "passed", job.seconds, limit, found, ", ".join(wrong))

    def _start(self, part: Part) -> Job:
        file = self.check.folder / "parts" / f"{part.name.replace(' ', '-')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        return Job(self.context, part, self.check, file, self.log)

    def _wait_for(self, name: str) -> str:
        """Why a background job did not end well; an empty text if it did."""
        job = self.jobs[name]
        code = job.wait(min(self._limit(job.part) - job.seconds, self.left_s))
        if code is None:
            job.kill()
            return f"{name}: it was still running after {job.seconds:.0f} s"
        wrong = [finding.name for finding in read(job.file) if finding.fails]
        return f"{name} failed: {', '.join(wrong) or f'exit code {code}'}, see {self.log}" if code or wrong else ""

    def _limit(self, part: Part) -> float:
        return part.limit_s * (SLACK if self.check.small else 1)

    @contextlib.contextmanager
    def _logged(self, part: Part) -> Iterator[None]:
        with self.log.open("a") as log:
            log.write(f"=== {part.name}: {part.what}, after {time.monotonic() - self.started:.0f} s\n")
        yield

    @staticmethod
    def _line(outcome: Outcome) -> str:
        why = f": {outcome.why}" if outcome.why else ""
        return f"{outcome.name}: {outcome.state} in {outcome.seconds:.0f} s{why}"


def _is_needed(job: Part, parts: Sequence[Part], background: Sequence[Part]) -> bool:
    users = [other for other in (*parts, *background) if job.name in other.needs]
    return any(user in parts or _is_needed(user, parts, background) for user in users)
