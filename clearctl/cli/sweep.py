"""`clearctl sweep`."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from clearctl.cli import sweep_lines
from clearctl.cli.completion import config_names, set_values
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.options import DatasetRoot, Device, Json, parse_numbers
from clearctl.errors import Stopped, UsageError
from clearctl.wording import any_of

ENGINES = ("local", "ray", "optuna")


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
            help="The values of a key, one for each run; may be repeated. With --engine optuna also LOW..HIGH[:log].",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, metavar="N", help="Runs at a time. Default: what is fastest on this machine."),
    ] = None,
    stack: Annotated[
        bool,
        typer.Option(
            "--stack/--no-stack",
            help="Train similar runs on features as one batched model: equal except for the last digits.",
        ),
    ] = True,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="local|ray|optuna",
            help="Where runs are executed; optuna draws the values of --set, and runs locally.",
        ),
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
    select: Annotated[
        str | None,
        typer.Option(
            "--select",
            metavar="METRIC",
            help="Choose the best values of each config on images held out of the training part, such as by"
            " validation.accuracy, and test only these.",
        ),
    ] = None,
    select_on: Annotated[
        str | None,
        typer.Option("--select-on", metavar="first:K", help="Choose on the first K buckets. Default: on all."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, metavar="N", help="How many settings of each config Optuna draws."),
    ] = None,
    sampler_seed: Annotated[
        int | None,
        typer.Option("--sampler-seed", min=0, metavar="N", help="The seed of Optuna's draws. Default: the first seed."),
    ] = None,
    work_dir: Annotated[
        Path | None,
        typer.Option(
            "--work-dir",
            metavar="DIR",
            help="The folder that has a folder of runs for each config and combination of values.",
        ),
    ] = None,
    dataset_root: DatasetRoot = None,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show all runs and estimate the time, without running them.")
    ] = False,
    json: Json = False,
) -> None:
    """Run each config with each seed and each combination of values.

    Finished runs are not run again, and stopped runs are resumed: the same command can always be repeated.
    With --select all runs are tested on images held out of the training part (scenario.validation); then only the best
    combination of values of each config is run with its tests.

    Example: `clearctl sweep configs/quickstart_feature.py --seeds 0-4 --set cl_strategy.optimizer.lr=0.1,1.0`
    """
    from clearctl.sweep.grid import read_grid, require_no_ranges
    from clearctl.sweep.local import local_engine

    numbers = None if seeds is None else parse_numbers(seeds, "--seeds")
    grid = read_grid(set_ or [])
    _require_fitting(
        engine,
        {"--jobs": jobs, "--device": None if device == "auto" else device},
        {"--address": address, "--cpus-per-run": cpus_per_run, "--gpus-per-run": gpus_per_run},
        {"--trials": trials, "--sampler-seed": sampler_seed},
    )
    _require_selecting(engine, select, select_on, trials)
    if engine != "optuna":
        require_no_ranges(grid)
    with ExitStack() as ends:
        # It imports what runs need while this process imports what the plan needs.
        local = ends.enter_context(local_engine()) if engine != "ray" and not dry_run else None
        with importing():
            from clearctl.sweep.cluster.engine import Cluster
            from clearctl.sweep.sweep import plan_sweep, run_sweep
        arguments: dict[str, Any] = {
            "seeds": numbers,
            "grid": grid,
            "work_dir": work_dir,
            "dataset_root": dataset_root,
            "jobs": jobs,
            "device": device,
            "stack": stack,
            "cluster": Cluster(address, cpus_per_run or 1.0, gpus_per_run or 0.0) if engine == "ray" else None,
        }
        if select is not None:
            from clearctl.cli.sweep_select import select_and_test

            searched = {"first": select_on, "trials": trials, "sampler_seed": sampler_seed}
            select_and_test(configs, select, {**arguments, **searched}, local=local, dry_run=dry_run, json=json)
            return
        plan = plan_sweep(configs, **arguments)
        sweep_lines.show_plan(plan)
        if dry_run:
            sweep_lines.show_dry_run(plan, json)
            return
        from clearctl.cli.sweep_table import SweepDisplay

        display = SweepDisplay(output, plan.runs)
        try:
            with display:
                result = run_sweep(plan, listener=display.show, local=local)
        except Stopped:
            sweep_lines.list_failed(display.failed)
            raise
    if json:
        output.json(sweep_lines.as_json(plan, result.outcomes))
    sweep_lines.list_diverged(list(zip(plan.runs, result.outcomes, strict=True)))
    if not json and any(outcome.status == "finished" for outcome in result.outcomes):
        sweep_lines.suggest_report(plan.runs, work_dir)
    sweep_lines.list_failed(result.failed)
    if result.failed:
        raise typer.Exit(result.failed[0][1].exit_code)


def _require_fitting(engine: str, *options: dict[str, object]) -> None:
    """Raise UsageError for an unknown engine, and for options of another one: of local, ray and optuna."""
    if engine not in ENGINES:
        raise UsageError(f"--engine {engine}: expected {any_of(ENGINES)}")
    fitting = {"local": (0,), "ray": (1,), "optuna": (0, 2)}[engine]
    for number, of_engine in enumerate(options):
        for option, value in of_engine.items():
            if value is not None and number not in fitting:
                instead = {"--jobs": ": see --cpus-per-run", "--device": ": see --gpus-per-run"}.get(option, "")
                raise UsageError(f"{option} is not for --engine {engine}{instead}")


def _require_selecting(engine: str, select: str | None, select_on: str | None, trials: int | None) -> None:
    """Raise UsageError for an option without the one that it needs."""
    if select is None and select_on is not None:
        raise UsageError("--select-on needs --select, such as --select validation.accuracy")
    if engine == "optuna" and select is None:
        raise UsageError("--engine optuna needs --select, such as --select validation.accuracy")
    if engine == "optuna" and trials is None:
        raise UsageError("--engine optuna needs --trials, such as --trials 40")
