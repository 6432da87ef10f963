"""`clearctl rebuild-by-metadata`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from clearctl import layout
from clearctl.cli.console import output as console
from clearctl.cli.console import reporting_errors
from clearctl.cli.next_commands import in_dataset, same_command
from clearctl.cli.options import DatasetRoot, DryRun, Json
from clearctl.wording import counted

if TYPE_CHECKING:
    from clearctl.dataset.rebuild import RebuildResult


@reporting_errors
def rebuild_by_metadata(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The new folder.", show_default=False)],
    dataset_root: DatasetRoot = None,
    sort_by: Annotated[
        str | None,
        typer.Option("--sort-by", metavar="FIELD", help="Sort by this field: numbers as numbers, dates as dates."),
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="Sort in descending order.")] = False,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="EXPR", help="Keep only these, such as \"date_taken >= '2008' and bucket != 0\"."
        ),
    ] = None,
    process: Annotated[
        str | None,
        typer.Option(
            "--process",
            metavar="MODULE:FUNCTION",
            help="Instead of --sort-by: your function, called with each class's records.",
        ),
    ] = None,
    num_buckets: Annotated[int, typer.Option("--num-buckets", metavar="N", help="How many new buckets.")] = 10,
    images: Annotated[str, typer.Option("--images", metavar="HOW", help="link, hardlink or copy the images.")] = "link",
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out records without a requested field.")
    ] = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Re-cut the labelled images into buckets by their metadata, in a new folder that is ready to train on.

    The images of each class, from all buckets, are filtered, sorted and cut into parts of the same
    size. --where compares fields, `bucket` and `class_name` with numbers, dates and 'text' by == != < <= > >=, `in`
    and `not in`, joined by `and`, `or`, `not`; `title != None` asks whether there is a title.

    Example: `clearctl rebuild-by-metadata --output dataset/by-upload --sort-by date_uploaded --num-buckets 10`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.rebuild import rebuild_by_metadata as rebuild

    with Display(console) as display:
        result = rebuild(
            dataset_root or layout.default_root(),
            output,
            sort_by=sort_by,
            descending=descending,
            num_buckets=num_buckets,
            where=where,
            process=process,
            images=images,
            drop_missing=drop_missing,
            dry_run=dry_run,
            listener=display.show,
        )
    if json:
        console.json({**_as_json(result), "dry_run": dry_run})
    else:
        _print(result, dry_run)


def _as_json(result: "RebuildResult") -> dict[str, Any]:
    return {
        "source": str(result.source),
        "root": str(result.root),
        "buckets": list(result.buckets),
        "classes": len(result.class_names),
        "images_per_bucket_and_class": result.images_per_bucket_and_class,
        "left_over": result.left_over,
        "dropped": result.dropped,
        "changed_bucket": result.changed_bucket,
        "images": result.images,
        "written": result.written,
        "unchanged": result.unchanged,
    }


def _print(result: "RebuildResult", dry_run: bool) -> None:
    """The table of counts, what is not in the new folder, how many images changed bucket."""
    from clearctl.cli.tables import counts_table

    console.stdout.print(counts_table(result.images_per_bucket_and_class))
    total = sum(sum(counts.values()) for counts in result.images_per_bucket_and_class.values())
    buckets = counted(len(result.buckets), "bucket")
    console.stdout.print(Text(f"\n{result.root}: {total:,} images ({result.images}) in {buckets} of the same size"))
    console.stdout.print(f"changed bucket: {sum(result.changed_bucket.values()):,} of {total:,} images")
    for why, count in result.dropped.items():
        if count:
            console.stdout.print(f"dropped: {counted(count, 'image')}, {_REASONS[why]}")
    left_over = {name: count for name, count in result.left_over.items() if count}
    if left_over:
        most = max(left_over.values())
        console.stdout.print(
            f"left over: {counted(sum(left_over.values()), 'image')} of {counted(len(left_over), 'class')}, "
            f"at most {most} of a class, since all buckets are of the same size"
        )
    console.written(result.written, result.unchanged, dry_run)
    if dry_run:
        console.next_command(*same_command("dry_run"))
    else:
        console.next_command("train", "own_data", *in_dataset(result.root))


_REASONS = {
    "where": "for which --where does not hold",
    "missing": "without a requested field",
    "process": "which --process did not return",
}
