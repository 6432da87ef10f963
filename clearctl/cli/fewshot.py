"""`clearctl make-fewshot`."""

from typing import Annotated

import typer

from clearctl import layout
from clearctl.cli.console import output, reporting_errors
from clearctl.cli.next_commands import in_dataset, same_command, training_config
from clearctl.cli.options import Buckets, DatasetRoot, DryRun, Force, Json, parse_buckets, parse_numbers
from clearctl.errors import UsageError
from clearctl.wording import counted, plural


@reporting_errors
def make_fewshot(
    dataset_root: DatasetRoot = None,
    shot: Annotated[
        int, typer.Option("--shot", metavar="K", help="Images of each class to train on, in every bucket.")
    ] = 5,
    seed: Annotated[int | None, typer.Option(help="Seed of the split. Default: 0.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="SEEDS", help="Several splits, such as 0-4 or 0,2, in place of --seed."),
    ] = None,
    buckets: Buckets = None,
    force: Force = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Draw few-shot splits of a prepared folder by the published procedure, byte for byte.

    Train on one with `scenario=dict(evaluation_protocol='iid', shot=5, seed=0)` in the config.

    Example: `clearctl make-fewshot --shot 5 --seed 0`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.fewshot import make_fewshot as make

    if seed is not None and seeds is not None:
        raise UsageError("--seed and --seeds: give one of them")
    with Display(output) as display:
        result = make(
            dataset_root or layout.default_root(),
            shot=shot,
            seeds=[seed or 0] if seeds is None else parse_numbers(seeds, "--seeds"),
            buckets=parse_buckets(buckets),
            force=force,
            dry_run=dry_run,
            listener=display.show,
        )
    if json:
        output.json(
            {
                "root": str(result.root),
                "shot": result.shot,
                "seeds": list(result.seeds),
                "buckets": list(result.images_per_bucket),
                "train_images_per_bucket": {name: train for name, (train, _) in result.images_per_bucket.items()},
                "test_images_per_bucket": {name: test for name, (_, test) in result.images_per_bucket.items()},
                "classes": result.num_classes,
                "written": result.written,
                "unchanged": result.unchanged,
                "dry_run": dry_run,
            }
        )
        return
    train = sum(train for train, _ in result.images_per_bucket.values())
    test = sum(test for _, test in result.images_per_bucket.values())
    output.stdout.print(
        f"{result.root}: {counted(result.shot, 'image')} of each of {counted(result.num_classes, 'class')} in "
        f"{counted(len(result.images_per_bucket), 'bucket')}: {train:,} to train on, {test:,} to test on, for "
        f"{plural('seed', len(result.seeds))} {', '.join(map(str, result.seeds))}"
    )
    output.written(result.written, result.unchanged, dry_run)
    if dry_run:
        output.next_command(*same_command("dry_run"))
    else:
        chosen = ["--set", f"scenario.shot={result.shot}", "--set", f"scenario.seed={result.seeds[0]}"]
        output.next_command("train", training_config(result.root), *in_dataset(result.root), *chosen)
