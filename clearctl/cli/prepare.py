"""`clearctl prepare-avalanche`."""

from typing import Annotated

import typer

from clearctl import layout
from clearctl.cli.console import output, reporting_errors
from clearctl.cli.next_commands import in_dataset, same_command, training_config
from clearctl.cli.options import Buckets, DatasetRoot, DryRun, Force, Json, parse_buckets, parse_numbers
from clearctl.wording import dataset_size


@reporting_errors
def prepare_avalanche(
    dataset_root: DatasetRoot = None,
    test_ratio: Annotated[
        float | None, typer.Option(help="Fraction of each bucket to test on; 0 makes no split. Default: 0.3.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar="SEEDS", help="Seeds of the splits, such as 0,2. Default: 0-4.")
    ] = None,
    stratified: Annotated[bool, typer.Option("--stratified", help="Split each class separately.")] = False,
    buckets: Buckets = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write file lists and train/test splits by the published procedure, byte for byte.

    Reads every release: the public folder, and the later one with train/ (or train_image_only/) and test/, which keeps
    its own split. Features of a release are prepared for training. Images without metadata are labelled by
    their folders, labeled_images/<bucket>/<class>/.

    Example: `clearctl prepare-avalanche --dataset-root dataset/CLEAR-10-PUBLIC --seeds 0-4`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.prepare import prepare_avalanche as prepare

    root = dataset_root or layout.default_root()
    with Display(output) as display:
        result = prepare(
            root,
            test_ratio=test_ratio,
            seeds=None if seeds is None else parse_numbers(seeds, "--seeds"),
            stratified=stratified,
            buckets=parse_buckets(buckets),
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
                "features": list(result.features),
                "published_split": result.published_split,
                "dry_run": dry_run,
            }
        )
        return
    output.stdout.print(f"{root}: {dataset_size(images, result.num_classes, len(result.buckets))}")
    if result.published_split:
        output.stdout.print("train and test are the release's own: the iid protocol uses them, whatever its seed")
    if result.features:
        output.stdout.print(f"features of the release, ready to train on: {', '.join(result.features)}")
    output.written(result.written, result.unchanged, dry_run)
    if dry_run:
        output.next_command(*same_command("dry_run"))
    else:
        output.next_command("train", training_config(root), *in_dataset(root))
