"""`clearctl export`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl.cli.completion import completer
from clearctl.cli.console import importing, reporting_errors
from clearctl.cli.console import output as console
from clearctl.cli.options import Json
from clearctl.cli.predict import Bucket, Config, Target
from clearctl.units import byte_size


@reporting_errors
def export(
    target: Target,
    to: Annotated[
        Path,
        typer.Option("--output", metavar="FILE", help="The file; an existing one is replaced.", show_default=False),
    ],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="safetensors|torchscript",
            autocompletion=completer(("safetensors", "torchscript")),
            help="Default: what the suffix of --output says (.safetensors, .pt).",
        ),
    ] = None,
    bucket: Bucket = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Write a trained network to a file that can be used without clearctl, with its labels and transform.

    safetensors holds the weights by their names; torchscript the network itself.

    Example: `clearctl export work_dirs/quickstart/20260101-120000-seed0 --output net.safetensors`
    """
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.predict.export import export_model

    with Display(console) as display:
        result = export_model(target, to, format=format, bucket=bucket, config=config, listener=display.show)
    size = result.file.stat().st_size
    if json:
        console.json(
            {
                "file": str(result.file),
                "format": result.format,
                "bytes": size,
                "checkpoint": str(result.checkpoint),
                "metadata": result.metadata,
            }
        )
        return
    shape = ", ".join(map(str, result.metadata["input"]))
    classes = len(result.metadata["class_names"])
    console.stdout.print(f"{result.file}: {result.format}, {byte_size(size)}, [{shape}] to scores of {classes} classes")
