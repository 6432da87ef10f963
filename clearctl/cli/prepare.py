"""`clearctl prepare-avalanche`."""

from typing import Annotated

import typer

from clearctl import layout
from clearctl.cli.console import output, reporting_errors
from clearctl.cli.options import DatasetRoot, Json, parse_numbers


@reporting_errors
def prepare_avalanche(
    dataset_root: DatasetRoot = None,
    test_ratio: Annotated[float, typer.Option(help="Fraction of each bucket to test on; 0 makes no split.")] = 0.3,
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Seeds of the splits, such as 0-4 or 0,2.")] = "0-4",
    stratified: Annotated[bool, typer.Option("--stratified", help="Split each class by itself.")] = False,
    buckets: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these buckets, such as 1-10. Default: all.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that differ.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, write nothing.")] = False,
    json: Json = False,
) -> None:
    """Write file lists and train/test splits by the published procedure, byte for byte.

    Example: `clearctl prepare-avalanche --dataset-root dataset/CLEAR-10-PUBLIC --seeds 0-4`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.prepare import prepare_avalanche as prepare

    root = dataset_root or layout.default_root()
    with Display(output) as display:
        result = prepare(
            root,
            test_ratio=test_ratio,
            seeds=parse_numbers(seeds, "--seeds"),
            stratified=stratified,
            buckets=[str(name) for name in parse_numbers(buckets, "--buckets")] if buckets else None,
            force=force,
            dry_run=dry_run,
            listener=display.show,
        )
    images = sum(result.images_per_bucket.values())
    if json:
        output.json(
            {
                "root": str(root),
                "buckets": list(result.buckets),
                "images_per_bucket": result.images_per_bucket,
                "classes": result.num_classes,
                "written": result.written,
                "unchanged": result.unchanged,
                "dry_run": dry_run,
            }
        )
        return
    output.stdout.print(f"{root}: {images:,} images of {result.num_classes} classes in {len(result.buckets)} buckets")
    if not result.written:
        output.stdout.print(f"nothing to do: all {result.unchanged} files are there and right")
    else:
        verb = "would be written" if dry_run else "written"
        output.stdout.print(f"{result.written} files {verb}, {result.unchanged} were there and right")
