"""`clearctl predict`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clearctl.cli.completion import completer, run_folders
from clearctl.cli.console import importing, reporting_errors
from clearctl.cli.console import output as console
from clearctl.cli.options import Device, Json
from clearctl.errors import DatasetError, UsageError
from clearctl.wording import counted

if TYPE_CHECKING:
    from clearctl.engine.predict.predict import PredictResult

Target = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|CHECKPOINT",
        autocompletion=run_folders,
        help="A run folder, or a file of weights in one; else with --config.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="RUN|FILE", help="For a checkpoint outside of a run folder: what it was trained with."
    ),
]
Bucket = Annotated[
    str | None,
    typer.Option("--bucket", metavar="NAME", help="The model after this bucket of the run. Default: the last one."),
]


@reporting_errors
def predict(
    target: Target,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES", help="Files, folders, patterns such as 'photos/*.jpg'.", show_default=False),
    ],
    top: Annotated[int, typer.Option("--top", metavar="K", help="How many classes of each image are shown.")] = 5,
    bucket: Bucket = None,
    all_buckets: Annotated[
        bool, typer.Option("--all-buckets", help="Use the model after each bucket: how the prediction changes.")
    ] = False,
    config: Config = None,
    extractor_weights: Annotated[
        Path | None,
        typer.Option(
            "--extractor-weights",
            metavar="FILE",
            help="For a run on features: the weights that made them, if their file was moved.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Images that cannot be read are a warning, not an error (exit code 4).")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="table|csv|json",
            autocompletion=completer(("table", "csv", "json")),
            help="Default: what the suffix of --output says, else table.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A file that ends in .csv or .json.")
    ] = None,
    device: Device = "auto",
    batch_size: Annotated[int | None, typer.Option(help="Images at once. Default: by device.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode. Default: by device.")] = None,
    json: Json = False,
) -> None:
    """Classify images of your own by a trained network.

    Images are transformed like the run's test images; the dataset is not needed.
    For a run on features, the network that made the features is built first.

    Example: `clearctl predict work_dirs/quickstart/20260101-120000-seed0 photos`
    """
    from clearctl.cli.progress import Display

    if top < 1:
        raise UsageError(f"--top {top} is not a number of classes ≥ 1")
    with importing():
        from clearctl import atomic
        from clearctl.engine.predict.images import refusal
        from clearctl.engine.predict.predict import predict as ask
        from clearctl.engine.predict.records import RENDERERS, TABLE, choose_format

    shown = choose_format(to, format, json)
    with Display(console) as display:
        result = ask(
            target,
            images,
            bucket=bucket,
            all_buckets=all_buckets,
            config=config,
            extractor_weights=extractor_weights,
            skip_bad=True,
            device=device,
            batch_size=batch_size,
            workers=workers,
            listener=display.show,
        )
    if result.no_probabilities:
        console.message(f"{result.no_probabilities}; the scores are shown", warning=True)
    if to is not None:
        try:
            atomic.write_text(to, RENDERERS[shown](result, top))
        except OSError as error:
            raise UsageError(f"--output {to} cannot be written: {error.strerror}") from None
        console.message(f"{counted(len(result.images), 'image')} in {to}")
    if json or (to is None and shown != TABLE):
        sys.stdout.write(RENDERERS["json" if json else shown](result, top))
        sys.stdout.flush()
    elif to is None:
        _print(result, top)
    if result.unreadable:
        text = refusal(result.unreadable, len(result.images) + len(result.unreadable))
        if not skip_bad:
            raise DatasetError(f"{text}\nthe others are classified; --skip-bad makes this a warning")
        console.message(text, warning=True)


def _print(result: "PredictResult", top: int) -> None:
    """The best classes of each image; for several models the best class by each."""
    from clearctl.cli.tables import predictions_table
    from clearctl.engine.predict.records import answers, value_name

    several = len(result.history) > 1
    folder = _common_folder(result.images)
    if folder.parts:
        console.stdout.print(f"images in {folder}", soft_wrap=True)
    shown = answers(result, 1 if several else top)
    console.stdout.print(predictions_table(shown, value_name(result), several, folder))


def _common_folder(images: Sequence[Path]) -> Path:
    """The common folder of several images; the empty path if there is none."""
    if len(images) < 2 or len({image.is_absolute() for image in images}) > 1:
        return Path()
    return Path(os.path.commonpath([image.parent for image in images]))
