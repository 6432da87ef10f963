"""`clearctl train`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearctl.cli.completion import config_names
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.launch import share_among
from clearctl.cli.next_commands import nearby, same_command
from clearctl.cli.options import DatasetRoot, Deterministic, Device, Json, Nproc, Precision, Set, with_precision
from clearctl.distributed import world
from clearctl.errors import UsageError
from clearctl.units import byte_size, duration
from clearctl.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

    from clearctl.engine.run.step_speed import StepSpeed
    from clearctl.engine.run.train import TrainResult


@reporting_errors
def train(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG",
            autocompletion=config_names,
            help="A config file, or the name of a shipped one, such as demo.",
        ),
    ],
    device: Device = "auto",
    dataset_root: DatasetRoot = None,
    work_dir: Annotated[
        Path | None, typer.Option("--work-dir", metavar="DIR", help="Where the run folder is made.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            max=2**63 - 1,
            metavar="N",
            help="Seed of everything random. Default: the config's, else 0.",
        ),
    ] = None,
    precision: Precision = None,
    deterministic: Deterministic = False,
    stop_on_divergence: Annotated[
        bool,
        typer.Option("--stop-on-divergence", help="End the run where a loss or a weight is not finite (exit code 5)."),
    ] = False,
    set_: Set = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build everything, run one batch, and estimate time and memory.")
    ] = False,
    nproc: Nproc = 1,
    json: Json = False,
) -> None:
    """Train on the buckets in order, and test on every bucket after each.

    Example: `clearctl train configs/demo.py --device cuda --set cl_strategy.train_epochs=1`
    """
    overrides = [*with_precision(set_, precision), *(["deterministic=True"] if deterministic else [])]
    overrides += ["stop_on_divergence=True"] if stop_on_divergence else []
    if dry_run and max(nproc, world.size()) > 1:
        raise UsageError("--dry-run is for one process: leave --nproc out")
    if dry_run:
        _dry_run(config, device, dataset_root, seed, overrides, json)
        return
    share_among(nproc)
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.run.resume import resume
        from clearctl.engine.run.train import earlier_run
        from clearctl.engine.run.train import train as run_training

    with Display(output) as display:
        begun = earlier_run()
        if begun is not None:  # torchrun has started all processes again
            print_result(resume(begun, device=None if device == "auto" else device, listener=display.show), json)
            return
        result = run_training(
            config,
            device=device,
            work_dir=work_dir,
            seed=seed,
            dataset_root=dataset_root,
            overrides=overrides,
            listener=display.show,
        )
    print_result(result, json)


def print_result(result: "TrainResult", json: bool) -> None:
    """Print the result of a finished run, for `train` and `resume`."""
    if json:
        from clearctl.metrics import to_json

        output.json(
            {
                "run": str(result.run),
                "buckets": result.bucket_names,
                "accuracy_matrix": result.matrix.tolist(),
                **to_json(result.numbers),
                "seconds": round(result.seconds, 3),
                "on_training_images": sorted(result.on_training_images),
                "diverged": result.diverged,
                **({"validation": to_json(result.validation_numbers)} if result.validation_numbers else {}),
            }
        )
        return
    from clearctl.cli.tables import matrix_table, numbers_table, numbers_tables
    from clearctl.metrics import by_owner

    output.stdout.print(
        matrix_table(result.matrix.tolist(), result.bucket_names, result.bucket_names, output.stdout.width)
    )
    for table in numbers_tables(result.numbers, result.on_training_images):
        output.stdout.print(table)
    if result.validation_numbers:
        of_clear = by_owner(result.validation_numbers)["CLEAR"]
        output.stdout.print(numbers_table("CLEAR's metrics on the validation parts", of_clear))
    output.message(f"everything is in {result.run}")
    if result.diverged is not None:
        from clearctl.engine.divergence import place

        output.message(f"the run has diverged: its numbers are meaningless ({place(result.diverged)})", warning=True)
    else:
        output.next_command("report", nearby(result.run), "--figures", "figures")


def _dry_run(
    config: Path, device: str, dataset_root: Path | None, seed: int | None, overrides: list[str], json: bool
) -> None:
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.run.dry_run import dry_run

    with Display(output) as display:
        result = dry_run(
            config, device=device, seed=seed, dataset_root=dataset_root, overrides=overrides, listener=display.show
        )
    if json:
        output.json(asdict(result))
        return
    held_out = f", {result.validation_samples:,} held out" if result.validation_samples else ""
    lines = (
        ("model", f"{result.parameters:,} parameters, {result.trained_parameters:,} of them trained"),
        ("stream", f"{counted(len(result.buckets), 'bucket')}: {', '.join(result.buckets)}"),
        ("samples", f"{result.train_samples:,} to train on, {result.test_samples:,} to test on{held_out}"),
        ("a batch", f"{1e3 * result.train_batch_s:.0f} ms to train on, {1e3 * result.test_batch_s:.0f} ms to test on"),
        ("estimate", f"{duration(result.seconds)}, plus what the strategy does between buckets"),
        ("memory", f"{byte_size(result.memory_bytes)} at most so far"),
    )
    for name, text in lines:
        output.stdout.print(f"{name:10}{text}")
    if result.speeds:
        output.stdout.print(_speeds_table(result.speeds))
    output.next_command(*same_command("dry_run"))


def _speeds_table(speeds: Sequence["StepSpeed"]) -> "Table":
    """The training steps of a dry run with the config's own options of the GPU, and with others."""
    from rich.table import Table

    table = Table(
        title="\ntraining steps on this GPU, images decoded before",
        padding=(0, 1, 0, 0),
        box=None,
        title_justify="left",
    )
    table.add_column("", no_wrap=True)
    table.add_column("images/s", justify="right", style="bold", no_wrap=True)
    table.add_column("times", justify="right", no_wrap=True)
    table.add_column("", style="dim")
    for number, speed in enumerate(speeds):
        rate = "-" if speed.images_per_s is None else f"{speed.images_per_s:,.0f}"
        gain = "-" if speed.gain is None else f"{speed.gain:.2f}"
        note = "as the config has it" if number == 0 else speed.arguments
        table.add_row(speed.name, rate, gain, f"fails: {speed.fault}" if speed.fault else note)
    return table
