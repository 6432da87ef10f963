"""`clearctl demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearctl.cli.console import output, reporting_errors
from clearctl.cli.next_commands import nearby
from clearctl.cli.options import Device, Json
from clearctl.errors import UsageError

if TYPE_CHECKING:
    from clearctl.engine.run.train import TrainResult


@reporting_errors
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything is written.")] = Path("clearctl-demo"),
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the training run.")] = 0,
    device: Device = "auto",
    features: Annotated[
        str,
        typer.Option(
            "--features",
            metavar="bucket1|lite0",
            help="lite0: an exact head on ImageNet's features too; needs clearctl[lite0].",
        ),
    ] = "bucket1",
    json: Json = False,
) -> None:
    """Run every step on real images, in under three minutes on two CPU cores.

    Makes a CLEAR-shaped stream from scikit-learn's handwritten digits, prepares it, trains a small network on bucket
    after bucket, tests it on every bucket, and shows the accuracy matrix and CLEAR's metrics. Then it extracts features
    with the network as it was after bucket 1, and trains a linear head on them. --features lite0
    also extracts features that were learned on ImageNet, and solves for a head on them, which takes some minutes more.

    Example: `clearctl demo`
    """
    if features not in ("bucket1", "lite0"):
        raise UsageError(f"--features {features}: expected bucket1 or lite0")
    from clearctl.cli.progress import Display
    from clearctl.demo.steps import run_demo

    with Display(output) as display:
        result = run_demo(folder, seed=seed, device=device, features=features, listener=display.show)
    trained = result.trained
    if json:
        from clearctl.metrics import to_json

        output.json(
            {
                "dataset_root": str(result.dataset_root),
                "run": str(trained.run),
                "buckets": trained.bucket_names,
                "accuracy_matrix": trained.matrix.tolist(),
                "accuracy_matrix_tested_again": result.tested.rows,
                **to_json(trained.numbers),
                "features": str(result.extracted.folder),
                "run_on_features": str(result.on_features.run),
                "clear_metrics_on_features": result.on_features.clear_metrics,
                **_on_lite0(result.on_lite0),
                "seconds": round(trained.seconds, 3),
            }
        )
        return
    from clearctl.cli.tables import matrix_table, numbers_table, numbers_tables

    names = trained.bucket_names
    output.stdout.print(matrix_table(trained.matrix.tolist(), names, names, output.stdout.width))
    for table in numbers_tables(trained.numbers, trained.on_training_images):
        output.stdout.print(table)
    title = "CLEAR's metrics of a linear head on the features of the network that learned bucket 1 alone"
    output.stdout.print(numbers_table(title, result.on_features.clear_metrics, result.on_features.on_training_images))
    if result.on_lite0 is not None:
        title = "CLEAR's metrics of ridge regression on features that were learned on ImageNet"
        output.stdout.print(numbers_table(title, result.on_lite0.clear_metrics, result.on_lite0.on_training_images))
    output.stdout.print(f"\ndataset     {result.dataset_root}")
    output.stdout.print(f"run folder  {trained.run}")
    for name, what in (
        ("report.html", "the report: open it in a browser"),
        ("accuracy_matrix.csv", "the matrix above"),
        ("eval.json", "every metric of every evaluation"),
        ("metrics.jsonl", "loss and accuracy of every epoch"),
        ("config.py", "the config, complete"),
        ("checkpoints", "the weights after each bucket"),
    ):
        output.stdout.print(f"  {name:20} {what}")
    output.stdout.print(f"features    {result.extracted.folder}")
    output.stdout.print(f"run folder  {result.on_features.run} (on the features)")
    if result.on_lite0 is not None:
        output.stdout.print(f"run folder  {result.on_lite0.run} (on ImageNet's features)")
    output.next_command("report", nearby(trained.run.parent))


def _on_lite0(result: "TrainResult | None") -> dict[str, object]:
    """The head on ImageNet's features, for the JSON."""
    return {} if result is None else {"run_on_lite0": str(result.run), "clear_metrics_on_lite0": result.clear_metrics}
