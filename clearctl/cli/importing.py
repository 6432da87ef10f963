"""`clearctl import`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from clearctl.cli.completion import completer
from clearctl.cli.console import INTERRUPTED, reporting_errors
from clearctl.cli.console import output as console
from clearctl.cli.next_commands import in_dataset, same_command
from clearctl.cli.options import DryRun, Json
from clearctl.errors import UsageError
from clearctl.wording import counted

if TYPE_CHECKING:
    from clearctl.dataset.import_images import ImportResult


@reporting_errors
def import_(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="A folder of images, or a table of them.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The new folder.", show_default=False)],
    bucket_by: Annotated[
        str | None,
        typer.Option(
            "--bucket-by",
            metavar="UNIT|N",
            autocompletion=completer(("year", "quarter", "month")),
            help="Cut by date: year, quarter, month, or into N. Default: SOURCE's own buckets, else year.",
        ),
    ] = None,
    equal: Annotated[
        str,
        typer.Option(
            "--equal",
            metavar="count|time",
            autocompletion=completer(("count", "time")),
            help="Whether N buckets have equal counts of images, or equal lengths of time.",
        ),
    ] = "count",
    order: Annotated[
        Path | None,
        typer.Option("--order", metavar="FILE", help="SOURCE's buckets in time order, one a line. Default: natural."),
    ] = None,
    date_pattern: Annotated[
        str | None,
        typer.Option("--date-pattern", metavar="PATTERN", help="Dates of names or of a table, such as IMG_%Y%m%d."),
    ] = None,
    undated: Annotated[
        str,
        typer.Option(
            "--undated",
            metavar="error|skip",
            autocompletion=completer(("error", "skip")),
            help="What to do where an image has no date.",
        ),
    ] = "error",
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="The structure of SOURCE's folders, such as class/bucket. Default: detected.",
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", metavar="ROLE=NAME", help="A table's columns, such as path=file,label=tag,date=when."
        ),
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option("--image-root", metavar="DIR", help="What a table's paths are relative to. Default: its folder."),
    ] = None,
    min_per_class: Annotated[
        int, typer.Option("--min-per-class", metavar="N", help="Leave out classes with fewer images.")
    ] = 1,
    duplicates: Annotated[
        str,
        typer.Option(
            "--duplicates",
            metavar="keep|first",
            autocompletion=completer(("keep", "first")),
            help="Of identical files keep all, or the earliest.",
        ),
    ] = "keep",
    no_decode: Annotated[
        bool, typer.Option("--no-decode", help="Read only the header of each image: damaged images are not found.")
    ] = False,
    images: Annotated[
        str,
        typer.Option(
            "--images",
            metavar="HOW",
            autocompletion=completer(("link", "hardlink", "copy")),
            help="link, hardlink or copy the images.",
        ),
    ] = "link",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier import, and what was prepared in it.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Make a CLEAR folder of your own images, cut into buckets by year, month, quarter or number.

    SOURCE is a folder of bucket/class/image (2004/cat/a.jpg) or of class/image,
    with train/ and test/ around them if it has a split; or a table (CSV, JSON,
    JSON lines, parquet) with columns path, label, date and, if you like, split
    or bucket; or a Hugging Face imagefolder with metadata. Dates are the table's,
    those in file names (--date-pattern), or EXIF's. Try --dry-run first.

    Example: `clearctl import photos --output dataset/own --bucket-by year --dry-run`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.import_images import import_images

    try:
        with Display(console) as display:
            result = import_images(
                source,
                output,
                layout=layout,
                columns=_parse_columns(columns),
                image_root=image_root,
                date_pattern=date_pattern,
                undated=undated,
                bucket_by=bucket_by,
                equal=equal,
                order=_read_order(order),
                min_per_class=min_per_class,
                duplicates=duplicates,
                decode=not no_decode,
                images=images,
                force=force,
                dry_run=dry_run,
                listener=display.show,
            )
    except KeyboardInterrupt:
        console.stderr.print("interrupted: nothing was written")
        raise typer.Exit(INTERRUPTED) from None
    if json:
        console.json({**_as_json(result), "dry_run": dry_run})
    else:
        _print(result, dry_run)


def _parse_columns(text: str | None) -> dict[str, str] | None:
    """`path=file,label=tag` as {role: column}. Raises UsageError."""
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(role.strip() and name.strip() for role, _, name in pairs):
        raise UsageError(f"--columns {text}: expected ROLE=NAME, such as path=file,label=tag,date=when")
    return {role.strip(): name.strip() for role, _, name in pairs}


def _read_order(file: Path | None) -> list[str] | None:
    """The lines of a file. Raises UsageError."""
    from clearctl.regular import read_text

    if file is None:
        return None
    try:
        return [line.strip() for line in read_text(file, "utf-8-sig").split("\n") if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--order {file} cannot be read: {error}") from None


def _as_json(result: "ImportResult") -> dict[str, Any]:
    counts = result.images_per_bucket_and_class
    return {
        "source": str(result.source),
        "root": str(result.root),
        "layout": result.layout,
        "buckets": [
            {
                "number": bucket.number,
                "name": bucket.name,
                "first": bucket.first.isoformat(" ") if bucket.first else None,
                "last": bucket.last.isoformat(" ") if bucket.last else None,
                "images": sum(counts[bucket.number].values()),
            }
            for bucket in result.buckets
        ],
        "class_names": list(result.class_names),
        "labels": {name: list(labels) for name, labels in result.labels.items()},
        "images_per_bucket_and_class": counts,
        "images_per_part": result.images_per_part,
        "left_out": result.left_out,
        "duplicates": [list(names) for names in result.duplicates],
        "images": result.images,
        "written": result.written,
    }


def _print(result: "ImportResult", dry_run: bool) -> None:
    """The buckets, the number of images of each class in each, and what to do next."""
    from clearctl.cli.tables import counts_table, imported_table

    counts = result.images_per_bucket_and_class
    console.stdout.print(imported_table(result.buckets, counts))
    console.stdout.print(counts_table(counts))
    total = sum(sum(of_bucket.values()) for of_bucket in counts.values())
    parts = " and ".join(f"{number:,} to {_VERBS[part]} on" for part, number in result.images_per_part.items())
    classes, buckets = counted(len(result.labels), "class"), counted(len(result.buckets), "bucket")
    console.stdout.print(
        Text(
            f"\n{result.root}: {counted(total, 'image')} ({result.images}) of {classes} in {buckets}"
            f"{', ' + parts if parts else ''}, from {result.source} ({result.layout})"
        )
    )
    if dry_run:
        console.stdout.print("nothing was written")
        console.next_command(*same_command("dry_run"))
        return
    if not result.written:
        console.stdout.print("nothing to do: the import is up to date")
    console.next_command("prepare-avalanche", *in_dataset(result.root))
    console.next_command("train", "own_data", *in_dataset(result.root), first="then")


_VERBS = {"train": "train", "test": "test"}
