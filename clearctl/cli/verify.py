"""`clearctl verify`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from clearctl import layout
from clearctl.cli.console import output, reporting_errors
from clearctl.cli.lines import print_line
from clearctl.cli.next_commands import in_dataset, training_config
from clearctl.cli.options import DatasetRoot, Json
from clearctl.errors import DatasetError, UsageError
from clearctl.wording import counted, dataset_size

if TYPE_CHECKING:
    from clearctl.dataset.checks.findings import Finding
    from clearctl.dataset.verify import VerifyResult

MOST_SHOWN = 20


@reporting_errors
def verify(
    dataset_root: DatasetRoot = None,
    images: Annotated[bool, typer.Option("--images", help="Decode every image too, and compare contents.")] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", help="Images to decode at a time. Default: one for each processor."),
    ] = None,
    json: Json = False,
) -> None:
    """Check a dataset folder: labels, paths, file lists, overlaps, splits, features and, with --images, every image.

    Reports all faults, and changes nothing. Exit code 0 for a sound folder, 4 for one with faults. A killed run with
    --images continues where it stopped, and a later one checks only files that have changed.

    Example: `clearctl verify --dataset-root dataset/CLEAR-10-PUBLIC --images`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.verify import verify as look_through

    if jobs is not None and not images:
        raise UsageError("--jobs is how many images to decode at a time: it needs --images")
    with Display(output) as display:
        result = look_through(dataset_root or layout.default_root(), images=images, jobs=jobs, listener=display.show)
    if json:
        output.json(_as_json(result))
    else:
        _print(result)
    if not result.sound:
        raise typer.Exit(DatasetError.exit_code)


def _as_json(result: "VerifyResult") -> dict[str, Any]:
    return {
        "root": str(result.root),
        "sound": result.sound,
        "prepared": result.prepared,
        "parts": list(result.parts),
        "class_names": list(result.class_names),
        "buckets": list(result.buckets),
        "images_per_bucket": result.images_per_bucket,
        "images_per_bucket_and_class": result.images_per_bucket_and_class,
        "checks": [asdict(check) for check in result.checks],
        "findings": [asdict(finding) for finding in result.findings],
    }


def _print(result: "VerifyResult") -> None:
    """The table of checks, the table of counts, what was found, the verdict."""
    from clearctl.cli.tables import checks_table, counts_table

    output.stdout.print(checks_table(result.checks))
    if result.buckets:
        output.stdout.print(counts_table(result.images_per_bucket_and_class))
    for check in result.checks:
        found = [finding for finding in result.findings if finding.check == check.name]
        if found:
            output.stdout.print(Text(f"\n{check.name}", style="bold"))
        for finding in found[:MOST_SHOWN]:
            _print_finding(finding)
        if len(found) > MOST_SHOWN:
            output.stdout.print(Text(f"  and {len(found) - MOST_SHOWN:,} more: --json lists all"))
    output.stdout.print(_verdict(result))
    if all(check.name != "images" for check in result.checks):
        output.stdout.print("images were not decoded: --images does")
    if result.sound:
        what = ("train", training_config(result.root)) if result.prepared else ("prepare-avalanche",)
        output.next_command(*what, *in_dataset(result.root))


def _print_finding(finding: "Finding") -> None:
    severity = Text(f"  {finding.severity}  ", style="red" if finding.severity == "fault" else "yellow")
    print_line([severity], Text(finding.text))


def _verdict(result: "VerifyResult") -> Text:
    faults = sum(check.faults for check in result.checks)
    notes = sum(check.notes for check in result.checks)
    images = sum(result.images_per_bucket.values())
    what = dataset_size(images, len(result.class_names), len(result.buckets))
    aside = f", {counted(notes, 'note')}" if notes else ""
    if result.sound:
        return Text.assemble("\n", ("sound", "bold green"), f": no fault{aside}; {what}")
    verdict = f": {counted(faults, 'fault')}{aside}; {what}"
    return Text.assemble("\n", ("not sound", "bold red"), verdict)
