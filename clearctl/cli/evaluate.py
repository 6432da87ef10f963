"""`clearctl eval`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl.cli.completion import run_folders
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.launch import share_among
from clearctl.cli.next_commands import nearby
from clearctl.cli.options import DatasetRoot, Device, Json, Nproc, Precision, Set, with_precision


@reporting_errors
def evaluate(
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", autocompletion=run_folders, help="A run folder, or a config with weights."),
    ],
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="The weights to test.")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", metavar="DIR", help="Weights to test, one file for each bucket, by number."),
    ] = None,
    device: Device = "auto",
    dataset_root: DatasetRoot = None,
    precision: Precision = None,
    set_: Set = None,
    nproc: Nproc = 1,
    json: Json = False,
) -> None:
    """Test a run's checkpoints, one checkpoint, or a folder with one for each bucket, on every bucket.

    A folder has the form of CLEAR's challenge: exp_1.pth to exp_10.pth, 1.pth to 10.pth, or any names that differ in
    one number.

    Example: `clearctl eval work_dirs/quickstart/20260101-120000-seed0`
    """
    share_among(nproc)
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.run.evaluate import evaluate as run_evaluation

    with Display(output) as display:
        result = run_evaluation(
            target,
            checkpoint=checkpoint,
            checkpoints=checkpoints,
            device=device,
            dataset_root=dataset_root,
            overrides=with_precision(set_, precision),
            listener=display.show,
        )
    if json:
        from clearctl.metrics import to_json

        output.json(
            {
                "buckets": result.bucket_names,
                "checkpoints": [str(file) for file in result.checkpoints],
                "accuracies": result.rows,
                "accuracy_matrix": result.matrix.tolist() if result.matrix is not None else None,
                **to_json(result.numbers),
                "on_training_images": sorted(result.on_training_images),
            }
        )
        return
    from clearctl.cli.tables import matrix_table, numbers_tables

    complete = result.matrix is not None
    names = result.bucket_names if complete else [file.stem for file in result.checkpoints]
    output.stdout.print(matrix_table(result.rows, names, result.bucket_names, output.stdout.width))
    if complete:
        for table in numbers_tables(result.numbers, result.on_training_images):
            output.stdout.print(table)
    from clearctl.rundir import is_run

    if is_run(target):
        output.next_command("report", nearby(target), "--figures", "figures")
