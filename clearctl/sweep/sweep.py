"""A sweep: plans, runs what is not finished, and collects the outcomes."""

import signal
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from clearctl import layout, rundir
from clearctl.config.fill import fill
from clearctl.cores import usable_cores
from clearctl.engine.build.preflight import dataset_faults
from clearctl.engine.machine import resolve_device
from clearctl.engine.run.dry_run import dry_run_config
from clearctl.engine.run.stopping import catch_stop_signals
from clearctl.errors import ConfigError, RunError, Stopped, UsageError
from clearctl.metrics import from_json
from clearctl.shortrepr import ShortRepr
from clearctl.sweep.cluster.engine import Cluster, import_ray, run_on_ray
from clearctl.sweep.grid import Grid, grid_texts
from clearctl.sweep.local import Assignment, LocalEngine, local_engine, threads_each
from clearctl.sweep.outcome import RunEnded, RunOutcome, SweepEvent, SweepListener, ignore
from clearctl.sweep.plan import PlannedRun, make_plan
from clearctl.sweep.stacks import WorkUnit, units
from clearctl.sweep.work import failed
from clearctl.threads import torch_threads


@dataclass(frozen=True, repr=False)
class SweepPlan(ShortRepr):
    """The plan of a sweep: its runs, and how many of them (or stacks of them) at a time on which device.

    Or on a `cluster`, which has its own devices and room.
    """

    runs: list[PlannedRun]
    jobs: int
    device: str
    cluster: Cluster | None = None
    stack: bool = False

    @property
    def units(self) -> list[WorkUnit]:
        """The remaining work: with `stack`, runs that differ in little are one batched model.

        A cluster may split these further, if it has room.
        """
        return units(self.left, stack=self.stack, jobs=self.jobs)

    @property
    def threads(self) -> int:
        """The number of threads of each run."""
        return threads_each(self.jobs) if self.cluster is None else self.cluster.threads

    @property
    def left(self) -> list[tuple[int, PlannedRun]]:
        """The runs that are not finished, each with its number in the plan."""
        return [(index, run) for index, run in enumerate(self.runs) if run.state != "finished"]

    def estimate_s(self) -> float:
        """The time that what is left would take, from a batch of one run of each label measured here.

        It leaves out the work of strategies between buckets, the start, the number of runs that a cluster has room for,
        and the savings of stacks. It is measured on the CPU if this machine lacks the GPU of a cluster's. Raises what
        `train` raises.
        """
        device = self.device if self.cluster is None or torch.cuda.is_available() else "cpu"
        alone: dict[str, float] = {}
        total = 0.0
        for _, run in self.left:
            if run.label not in alone:
                with torch_threads(min(self.threads, usable_cores())):  # a cluster's machines may have more
                    alone[run.label] = dry_run_config(run.config, device=device).seconds
            total += alone[run.label] * _fraction_left(run)
        return total / min(self.jobs, max(1, len(self.left)))


@dataclass(frozen=True, repr=False)
class SweepResult(ShortRepr):
    """The runs of a sweep and how each ended; of those that were finished before, what is in their folders."""

    runs: list[PlannedRun]
    outcomes: list[RunOutcome]

    @property
    def failed(self) -> list[tuple[PlannedRun, RunOutcome]]:
        """The runs that failed."""
        return [pair for pair in zip(self.runs, self.outcomes, strict=True) if pair[1].status == "failed"]


def plan_sweep(
    configs: Sequence[Path | str],
    *,
    seeds: Sequence[int] | None = None,
    grid: Grid | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
    jobs: int | None = None,
    device: str = "auto",
    cluster: Cluster | None = None,
    stack: bool = True,
) -> SweepPlan:
    """The plan of a sweep, compared with the runs so far; nothing is written. See `make_plan` for the product.

    `jobs` runs go at a time: by default, on a CPU, one for each core where all runs train on features, which one core
    keeps busy, and else one alone. With `stack` runs that differ in little are trained as one batched model, whose
    results are those of runs alone except for rounding. A `cluster` has its own devices and room.
    Raises ConfigError, UsageError, DatasetError for a dataset folder there is not, and CapabilityError for a device
    there is not.
    """
    runs = make_plan(configs, seeds=seeds, grid=grid_texts(grid), work_dir=work_dir, dataset_root=dataset_root)
    return arrange(runs, jobs=jobs, device=device, cluster=cluster, stack=stack)


def arrange(
    runs: list[PlannedRun],
    *,
    jobs: int | None = None,
    device: str = "auto",
    cluster: Cluster | None = None,
    stack: bool = True,
) -> SweepPlan:
    """Plan how runs are carried out, and check that their datasets exist: see `plan_sweep`."""
    if cluster is not None:
        import_ray()
        return SweepPlan(runs, 1, cluster.device, cluster, stack)
    target = resolve_device(device)
    if jobs is None:
        on_features = all(fill(run.config).scenario.feature_type for run in runs)
        jobs = usable_cores() if target.type == "cpu" and on_features else 1
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}: expected 1 or more")
    require_datasets(runs)
    # Not of those that are left: a run would have other threads, and so round elsewhere, after the sweep was stopped.
    return SweepPlan(runs, min(jobs, len(runs)), str(target), stack=stack)


def run_sweep(plan: SweepPlan, *, listener: SweepListener = ignore, local: LocalEngine | None = None) -> SweepResult:
    """Carry out the runs of a plan that are not finished; one that fails stops no other.

    On this machine that is done by `local`, if one was started before. Raises Stopped where Ctrl-C or SIGTERM ended
    it: the same plan, made again, resumes it.
    """
    outcomes: dict[int, RunOutcome] = {
        index: _finished_before(run) for index, run in enumerate(plan.runs) if run.state == "finished"
    }

    def listen(event: SweepEvent) -> None:
        if isinstance(event, RunEnded):
            outcomes[event.index] = event.outcome
        listener(event)

    with catch_stop_signals(listener) as stop_request:
        try:
            if plan.left and plan.cluster is not None:
                run_on_ray(plan.left, plan.cluster, stack=plan.stack, listener=listen, stop_request=stop_request)
            elif plan.left:
                assignment = Assignment(plan.units, plan.jobs, plan.threads, plan.device)
                with nullcontext(local) if local else local_engine() as engine:
                    engine.execute(assignment, listen, stop_request)
        except KeyboardInterrupt:
            raise _stopped(plan, outcomes, signal.SIGINT) from None
        if stop_request.signum is not None and len(outcomes) < len(plan.runs) or _any_stopped(outcomes):
            raise _stopped(plan, outcomes, stop_request.signum or signal.SIGTERM)
    return SweepResult(plan.runs, [outcomes[index] for index in range(len(plan.runs))])


def require_datasets(runs: Sequence[PlannedRun]) -> None:
    """Raise, once, what all runs on a dataset folder would end with that is not what their configs ask for."""
    faults: dict[str, None] = {}
    for run in runs:
        if run.state != "finished":
            settings = fill(run.config)
            layout.read_bucket_indices(settings.scenario.dataset_root)
            faults.update(dict.fromkeys(map(str, dataset_faults(settings))))
    if faults:
        raise ConfigError("\n".join(faults))


def _any_stopped(outcomes: Mapping[int, RunOutcome]) -> bool:
    return any(outcome.status == "stopped" for outcome in outcomes.values())


def _stopped(plan: SweepPlan, outcomes: Mapping[int, RunOutcome], signum: int) -> Stopped:
    done = sum(outcome.status == "finished" for outcome in outcomes.values())
    return Stopped(f"stopped: {done} of {len(plan.runs)} runs are finished\nrun the same command to continue", signum)


def _finished_before(planned: PlannedRun) -> RunOutcome:
    assert planned.run is not None
    try:
        matrix, _ = rundir.read_matrix(planned.run)
        found = rundir.read_eval(planned.run)
    except RunError as error:
        return failed(error, 0.0)
    return RunOutcome(
        "finished",
        planned.run,
        matrix,
        from_json(found),
        diverged=found.get("diverged"),
    )


def _fraction_left(planned: PlannedRun) -> float:
    """The fraction of the run that is still to do, by its buckets."""
    if planned.run is not None:
        with suppress(RunError):  # before the first bucket is learned there is none to read
            matrix, names = rundir.read_matrix(planned.run)
            return 1.0 - len(matrix) / len(names)
    return 1.0
