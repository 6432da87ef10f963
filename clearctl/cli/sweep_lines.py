"""The output of `clearctl sweep`, as text and as JSON: of a plan, and of how its runs ended."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from clearctl.cli.console import REPORT, output
from clearctl.cli.next_commands import nearby, same_command
from clearctl.units import duration
from clearctl.wording import all_of, counted

if TYPE_CHECKING:
    from clearctl.sweep.outcome import RunOutcome
    from clearctl.sweep.plan import PlannedRun
    from clearctl.sweep.sweep import SweepPlan

MOST_NAMED = 3  # runs that failed alike


def show_plan(plan: "SweepPlan") -> None:
    """Print the number of runs, their states, how many run at a time, and where their folders are."""
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
        output.message(f"on Ray, as many at a time as it has room for, each on {plan.device}{_how_stacked(plan)}")
    elif plan.left:
        threads = counted(plan.threads, "thread")
        output.message(f"{plan.jobs} at a time on {plan.device}, {threads} each{_how_stacked(plan)}")
    places = {str(run.work_dir) for run in plan.runs}
    if len(places) == 1:
        output.message(f"run folders in {places.pop()}")
    else:
        output.message(f"run folders in {counted(len(places), 'folder')} of {os.path.commonpath(places)}")


def _how_stacked(plan: "SweepPlan") -> str:
    """The line about stacks, if any of the runs that are left are in one."""
    stacks = [len(unit) for unit in plan.units if len(unit) > 1]
    if not stacks:
        return ""
    return (
        f"\n{sum(stacks)} stacked as {counted(len(stacks), 'model')}: equal except for the last digits"
        " (--no-stack: bit-identical)"
    )


def show_dry_run(plan: "SweepPlan", json: bool, more: Mapping[str, Any] | None = None) -> None:
    """All runs of a plan, and the time that they would take; `more` is added to the JSON."""
    from clearctl.cli.sweep_table import plan_table

    seconds = plan.estimate_s()
    if json:
        runs = [
            {"label": run.label, "seed": run.seed, "state": run.state, "folder": str(run.run or run.work_dir)}
            for run in plan.runs
        ]
        output.json({**_machine(plan), "seconds": round(seconds, 3), **(more or {}), "runs": runs})
        return
    output.stdout.print(plan_table(plan.runs))
    if plan.left:
        how = " one run after another" if plan.cluster is not None else ""
        if any(len(unit) > 1 for unit in plan.units):
            how = " at most (stacks take less)"
        output.stdout.print(f"\nestimate  {duration(seconds)}{how}, plus what strategies do between buckets")
    output.next_command(*same_command("dry_run"))


def _machine(plan: "SweepPlan") -> dict[str, Any]:
    jobs = plan.jobs if plan.cluster is None else None
    return {
        "engine": "local" if plan.cluster is None else "ray",
        "device": plan.device,
        "jobs": jobs,
        "threads": plan.threads,
    }


def as_json(plan: "SweepPlan", outcomes: "Sequence[RunOutcome]") -> dict[str, Any]:
    """All runs of a plan and how they ended."""
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
    return {**_machine(plan), "runs": runs}


def suggest_report(runs: "Sequence[PlannedRun]", work_dir: Path | None = None) -> None:
    """The command that makes a table of the runs, which all are in `work_dir` if it is given."""
    places = [work_dir] if work_dir is not None else [run.work_dir for run in runs]
    output.next_command("report", *dict.fromkeys(nearby(place) for place in places))


def list_diverged(runs: "Sequence[tuple[PlannedRun, RunOutcome]]") -> None:
    """The finished runs whose numbers mean nothing, and where the first of them diverged."""
    from clearctl.engine.divergence import place

    diverged = [(run, outcome.diverged) for run, outcome in runs if outcome.diverged is not None]
    if diverged:
        number = counted(len(diverged), "run")
        names = _names([run for run, _ in diverged])
        output.message(f"{number} diverged: {names}; the first in {place(diverged[0][1])}", warning=True)


def list_failed(failed: "Sequence[tuple[PlannedRun, RunOutcome]]") -> None:
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
    output.stderr.print(Text("the same command runs only these again"))


def _names(runs: "list[PlannedRun]") -> str:
    names = [f"{run.label} seed {run.seed}" for run in runs]
    if len(names) > MOST_NAMED:
        names[MOST_NAMED - 1 :] = [f"{len(names) - MOST_NAMED + 1} others"]
    return all_of(names)
