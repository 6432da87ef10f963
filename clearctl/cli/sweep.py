"""`clearctl sweep`."""

import os
import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from clearctl.cli.completion import config_names, set_values
from clearctl.cli.console import REPORT, importing, output, reporting_errors
from clearctl.cli.options import DatasetRoot, Device, Json, parse_numbers
from clearctl.errors import Stopped, UsageError
from clearctl.units import duration
from clearctl.wording import all_of, counted

if TYPE_CHECKING:
    from clearctl.sweep.outcome import RunOutcome
    from clearctl.sweep.plan import PlannedRun
    from clearctl.sweep.sweep import SweepPlan

ENGINES = ("local", "ray")
MOST_NAMED = 3  # runs that failed alike


@reporting_errors
def sweep(
    configs: Annotated[list[Path], typer.Argument(metavar="CONFIG", autocompletion=config_names, help="Config files.")],
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="SEEDS", help="Such as 0-4. Default: each config's own seed.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            autocompletion=set_values,
            metavar="KEY=V1,V2",
            help="Values that a key takes in turn; may be repeated.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, metavar="N", help="Runs at a time. Default: as many as this machine is best at."),
    ] = None,
    stack: Annotated[
        bool | None,
        typer.Option(
            "--stack/--no-stack",
            show_default=False,
            help="Train runs on features that differ in little as one batched model. Default: on a GPU.",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", metavar="local|ray", help="Where the runs are carried out.")
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="HOST:PORT", help="The Ray cluster. Default: $RAY_ADDRESS, else one started here."
        ),
    ] = None,
    cpus_per_run: Annotated[
        float | None, typer.Option("--cpus-per-run", min=0.01, metavar="N", help="CPUs of a run on Ray. Default: 1.")
    ] = None,
    gpus_per_run: Annotated[
        float | None,
        typer.Option("--gpus-per-run", min=0.0, metavar="N", help="GPUs of a run on Ray, such as 0.25. Default: 0."),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir", metavar="DIR", help="Where each config and combination of values has a folder for its runs."
        ),
    ] = None,
    dataset_root: DatasetRoot = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show all runs, estimate the time, and stop there.")
    ] = False,
    json: Json = False,
) -> None:
    """Run each config with each seed and each combination of values.

    What is finished is not run again, and what was stopped is resumed: the same command may always be repeated.

    Example: `clearctl sweep configs/quickstart_feature.py --seeds 0-4 --set cl_strategy.optimizer.lr=0.1,1.0`
    """
    from clearctl.sweep.grid import read_grid
    from clearctl.sweep.local import local_engine

    numbers = None if seeds is None else parse_numbers(seeds, "--seeds")
    grid = read_grid(set_ or [])
    _require_fitting(
        engine,
        {"--jobs": jobs, "--stack": stack, "--device": None if device == "auto" else device},
        {"--address": address, "--cpus-per-run": cpus_per_run, "--gpus-per-run": gpus_per_run},
    )
    with ExitStack() as ends:
        # It imports what runs need while this process imports what the plan needs.
        local = ends.enter_context(local_engine()) if engine == "local" and not dry_run else None
        with importing():
            from clearctl.sweep.cluster.engine import Cluster
            from clearctl.sweep.sweep import plan_sweep, run_sweep
        plan = plan_sweep(
            configs,
            seeds=numbers,
            grid=grid,
            work_dir=work_dir,
            dataset_root=dataset_root,
            jobs=jobs,
            device=device,
            stack=stack,
            cluster=Cluster(address, cpus_per_run or 1.0, gpus_per_run or 0.0) if engine == "ray" else None,
        )
        _show_plan(plan)
        if dry_run:
            _dry_run(plan, json)
            return
        from clearctl.cli.sweep_table import SweepDisplay

        display = SweepDisplay(output, plan.runs)
        try:
            with display:
                result = run_sweep(plan, listener=display.show, local=local)
        except Stopped:
            _list_failed(display.failed)
            raise
    if json:
        output.json(_as_json(plan, result.outcomes))
    _list_diverged(list(zip(plan.runs, result.outcomes, strict=True)))
    if any(outcome.status == "finished" for outcome in result.outcomes):
        output.message(_where_all_is(plan, work_dir))
    _list_failed(result.failed)
    if result.failed:
        raise typer.Exit(result.failed[0][1].exit_code)


def _require_fitting(engine: str, of_local: dict[str, object], of_ray: dict[str, object]) -> None:
    """Raise UsageError for an engine there is not, and for options of the other one."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: expected local or ray")
    for option, value in (of_ray if engine == "local" else of_local).items():
        if value is not None:
            instead = {"--jobs": ": see --cpus-per-run", "--device": ": see --gpus-per-run"}.get(option, "")
            raise UsageError(f"{option} is not for --engine {engine}{instead}")


def _show_plan(plan: "SweepPlan") -> None:
    count = {state: sum(run.state == state for run in plan.runs) for state in ("finished", "resume", "new")}
    total = len(plan.runs)
    words = {"finished": "finished", "resume": "to resume", "new": "new"}
    parts = [f"{number} {words[state]}" for state, number in count.items() if number]
    for notice in dict.fromkeys(notice for run in plan.runs for notice in run.config.notices):
        output.message(notice)
    for text in (run.changed for run in plan.runs if run.changed and run.state != "finished"):
        output.message(text, warning=True)
    output.message(f"{counted(total, 'run')}: {', '.join(parts)}")
    if plan.left and plan.cluster is not None:
        output.message(f"on Ray, as many at a time as it has room for, each on {plan.device}")
    elif plan.left:
        threads = counted(plan.threads, "thread")
        output.message(f"{plan.jobs} at a time on {plan.device}, {threads} each{_how_stacked(plan)}")
    places = {str(run.work_dir) for run in plan.runs}
    if len(places) == 1:
        output.message(f"run folders in {places.pop()}")
    else:
        output.message(f"run folders in {len(places)} folders of {os.path.commonpath(places)}")


def _how_stacked(plan: "SweepPlan") -> str:
    """What is said of stacks, where any of the runs that are left could be in one."""
    from clearctl.sweep.stacks import units

    stacks = [len(unit) for unit in units(plan.left, stack=True, jobs=plan.jobs) if len(unit) > 1]
    if not stacks:
        return ""
    if not plan.stack:
        return "; bit-identical and resumable: --stack is faster and neither"
    return f"; {sum(stacks)} of the runs are {counted(len(stacks), 'stack')}, each one batched model"


def _dry_run(plan: "SweepPlan", json: bool) -> None:
    from clearctl.cli.sweep_table import plan_table

    seconds = plan.estimate_s()
    if json:
        runs = [
            {"label": run.label, "seed": run.seed, "state": run.state, "folder": str(run.run or run.work_dir)}
            for run in plan.runs
        ]
        output.json({**_setting(plan), "seconds": round(seconds, 3), "runs": runs})
        return
    output.stdout.print(plan_table(plan.runs))
    if plan.left:
        how = ", one run after another" if plan.cluster is not None else ""
        if any(len(unit) > 1 for unit in plan.units):
            how = " at most, since stacks take less"
        output.stdout.print(f"\nestimate  {duration(seconds)}{how}, and what strategies do between buckets")


def _setting(plan: "SweepPlan") -> dict[str, Any]:
    jobs = plan.jobs if plan.cluster is None else None
    return {
        "engine": "local" if plan.cluster is None else "ray",
        "device": plan.device,
        "jobs": jobs,
        "threads": plan.threads,
    }


def _as_json(plan: "SweepPlan", outcomes: "list[RunOutcome]") -> dict[str, Any]:
    from clearctl.metrics import to_json

    runs = []
    for run, outcome in zip(plan.runs, outcomes, strict=True):
        folder = outcome.run or run.run
        runs.append(
            {
                "label": run.label,
                "seed": run.seed,
                "folder": None if folder is None else str(folder),
                "status": outcome.status,
                "error": outcome.error or None,
                "diverged": outcome.diverged,
                **{key: found or None for key, found in to_json(outcome.numbers).items()},
                "seconds": None if run.state == "finished" else round(outcome.seconds, 3),
            }
        )
    return {**_setting(plan), "runs": runs}


def _where_all_is(plan: "SweepPlan", work_dir: Path | None) -> str:
    """The folders of the runs, and the command that makes a table of them."""
    places = dict.fromkeys([str(work_dir)] if work_dir is not None else [str(run.work_dir) for run in plan.runs])
    return f"make the table with `clearctl report {' '.join(shlex.quote(place) for place in places)}`"


def _list_diverged(runs: "list[tuple[PlannedRun, RunOutcome]]") -> None:
    """The finished runs whose numbers mean nothing, and where the first of them diverged."""
    from clearctl.engine.divergence import place

    diverged = [(run, outcome.diverged) for run, outcome in runs if outcome.diverged is not None]
    if diverged:
        number = counted(len(diverged), "run")
        names = _names([run for run, _ in diverged])
        output.message(f"{number} diverged: {names}; the first in {place(diverged[0][1])}", warning=True)


def _list_failed(failed: "list[tuple[PlannedRun, RunOutcome]]") -> None:
    """Each error once, with the runs that it ended."""
    if not failed:
        return
    alike: dict[str, list[tuple[PlannedRun, RunOutcome]]] = {}
    for run, outcome in failed:
        alike.setdefault(outcome.error, []).append((run, outcome))
    output.stderr.print(Text.assemble(("error: ", "bold red"), f"{counted(len(failed), 'run')} failed"))
    for error, pairs in alike.items():
        if output.verbose and pairs[0][1].traceback:
            output.stderr.print(Text(pairs[0][1].traceback.rstrip()))
        output.stderr.print(Text(f"{_names([run for run, _ in pairs])}: {error}"))
    if any(outcome.exit_code == 1 for _, outcome in failed):
        output.stderr.print(Text(REPORT))
    output.stderr.print(Text("the same command runs them again, and nothing that is finished"))


def _names(runs: "list[PlannedRun]") -> str:
    names = [f"{run.label} seed {run.seed}" for run in runs]
    if len(names) > MOST_NAMED:
        names[MOST_NAMED - 1 :] = [f"{len(names) - MOST_NAMED + 1} others"]
    return all_of(names)
