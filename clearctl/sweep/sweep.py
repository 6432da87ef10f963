"""A sweep: plan, carry out what is not finished, gather how all of it went."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clearctl import rundir
from clearctl.engine.dry_run import try_out
from clearctl.engine.machine import resolve_device
from clearctl.engine.stopping import wish_to_stop
from clearctl.errors import Stopped, UsageError
from clearctl.sweep.local import run_local, usable_cores
from clearctl.sweep.outcome import Outcome, RunEnded, SweepEvent, SweepListener, ignore
from clearctl.sweep.plan import PlannedRun, make_plan

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep would do: its runs, and on how many at a time."""

    runs: list[PlannedRun]
    jobs: int
    device: str

    @property
    def left(self) -> list[tuple[int, PlannedRun]]:
        """The runs that are not finished, each with its number in the plan."""
        return [(index, run) for index, run in enumerate(self.runs) if run.state != "finished"]

    def estimate_s(self) -> float:
        """The time that what is left would take, from a batch of one run of each label measured here.

        What strategies do between buckets is not in it, nor the start. Raises what `train` raises.
        """
        alone: dict[str, float] = {}
        total = 0.0
        for _, run in self.left:
            if run.label not in alone:
                alone[run.label] = try_out(run.config, device=self.device).seconds
            total += alone[run.label] * _share_left(run)
        return total / min(self.jobs, max(1, len(self.left)))


@dataclass(frozen=True)
class SweepResult:
    """The runs of a sweep and how each ended; of those that were finished before, what is in their folders."""

    runs: list[PlannedRun]
    outcomes: list[Outcome]

    @property
    def failed(self) -> list[tuple[PlannedRun, Outcome]]:
        """The runs that failed."""
        return [pair for pair in zip(self.runs, self.outcomes, strict=True) if pair[1].status == "failed"]


def plan_sweep(
    configs: Sequence[Path | str],
    *,
    seeds: Sequence[int] | None = None,
    grid: Mapping[str, Sequence[str]] | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
    jobs: int | None = None,
    device: str = "auto",
) -> SweepPlan:
    """The plan of a sweep, held against the runs that are there; nothing is written. See `make_plan` for the product.

    `jobs` runs go at a time: by default, on a CPU, one for each core where all runs train on features, which one core
    keeps busy, and else one alone. Raises ConfigError, UsageError, and CapabilityError for a device there is not.
    """
    runs = make_plan(configs, seeds=seeds, grid=grid, work_dir=work_dir, dataset_root=dataset_root)
    target = resolve_device(device)
    if jobs is None:
        on_features = all(run.config.values["scenario"].get("feature_type") for run in runs)
        jobs = usable_cores() if target.type == "cpu" and on_features else 1
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}: expected 1 or more")
    return SweepPlan(runs, jobs, str(target))


def sweep(plan: SweepPlan, *, listener: SweepListener = ignore) -> SweepResult:
    """Carry out the runs of a plan that are not finished; one that fails stops no other.

    Raises Stopped where Ctrl-C or SIGTERM ended it: the same plan, made again, goes on.
    """
    outcomes: dict[int, Outcome] = {
        index: _finished_before(run) for index, run in enumerate(plan.runs) if run.state == "finished"
    }

    def listen(event: SweepEvent) -> None:
        if isinstance(event, RunEnded):
            outcomes[event.index] = event.outcome
        listener(event)

    with wish_to_stop(listener) as wish:
        try:
            if plan.left:
                run_local(
                    plan.left, jobs=min(plan.jobs, len(plan.left)), device=plan.device, listener=listen, wish=wish
                )
        except KeyboardInterrupt:
            raise _stopped(plan, outcomes, signal.SIGINT) from None
        if wish.signum is not None and len(outcomes) < len(plan.runs) or _any_stopped(outcomes):
            raise _stopped(plan, outcomes, wish.signum or signal.SIGTERM)
    return SweepResult(plan.runs, [outcomes[index] for index in range(len(plan.runs))])


def _any_stopped(outcomes: Mapping[int, Outcome]) -> bool:
    return any(outcome.status == "stopped" for outcome in outcomes.values())


def _stopped(plan: SweepPlan, outcomes: Mapping[int, Outcome], signum: int) -> Stopped:
    done = sum(outcome.status == "finished" for outcome in outcomes.values())
    return Stopped(f"stopped: {done} of {len(plan.runs)} runs are finished\nthe same command goes on", signum)


def _finished_before(planned: PlannedRun) -> Outcome:
    assert planned.run is not None
    matrix, _ = rundir.read_matrix(planned.run)
    found = rundir.read_eval(planned.run)
    return Outcome("finished", planned.run, matrix, found["clear_metrics"], found["gem_metrics"])


def _share_left(planned: PlannedRun) -> float:
    """How much of the run is still to do, by its buckets."""
    if planned.run is None or not rundir.matrix_file(planned.run).is_file():
        return 1.0
    matrix, names = rundir.read_matrix(planned.run)
    return 1.0 - len(matrix) / len(names)
