"""`clearctl download`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl.cli.console import INTERRUPTED, output, reporting_errors
from clearctl.cli.next_commands import in_dataset
from clearctl.cli.options import Json
from clearctl.errors import UsageError


@reporting_errors
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="clear10 or clear100.")],
    dataset_root: Annotated[
        Path | None,
        typer.Option(
            "--dataset-root",
            metavar="DIR",
            help="The target. Default: $CLEARCTL_DATASET_ROOT, else dataset/CLEAR-10-PUBLIC, by name and release.",
        ),
    ] = None,
    release: Annotated[
        str,
        typer.Option(
            "--release",
            metavar="RELEASE",
            help="public, or the later release with separate train and test: image-only, or full (with features).",
        ),
    ] = "public",
    url: Annotated[
        str | None, typer.Option("--url", metavar="BASE", help="A mirror: the address of the folder with the archives.")
    ] = None,
    md5: Annotated[
        list[str] | None,
        typer.Option(
            "--md5", metavar="[FILE=]HEX", help="The expected MD5 of an archive; may be repeated as FILE=HEX."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Download again, and replace existing files.")] = False,
    keep_archive: Annotated[bool, typer.Option("--keep-archive", help="Do not delete the archives.")] = False,
    max_hours: Annotated[
        float,
        typer.Option("--max-hours", metavar="HOURS", help="Stop after this time; a later run continues."),
    ] = 72.0,
    json: Json = False,
) -> None:
    """Download CLEAR from its authors' servers, check it and unpack it.

    Continues an earlier download that stopped. After a complete one it does nothing.

    Example: `clearctl download clear10 --dataset-root dataset/CLEAR-10-PUBLIC`
    """
    from clearctl.cli.progress import Display
    from clearctl.dataset.download import download as run
    from clearctl.dataset.remote.patience import Patience

    wanted = _parse_md5(md5 or [])
    if not max_hours >= 0:  # nan too
        raise UsageError(f"--max-hours {max_hours}: expected a number of hours ≥ 0")
    try:
        with Display(output) as display:
            result = run(
                name,
                dataset_root,
                release=release,
                url=url,
                md5=wanted,
                force=force,
                keep_archive=keep_archive,
                patience=Patience(longest_s=max_hours * 3600),
                listener=display.show,
            )
    except KeyboardInterrupt:
        output.stderr.print("interrupted: the received part is on disk; the same command continues")
        raise typer.Exit(INTERRUPTED) from None
    if json:
        output.json(
            {
                "root": str(result.root),
                "dataset_root": None if result.dataset_root is None else str(result.dataset_root),
                "name": name,
                "release": release,
                "received_bytes": result.received_bytes,
                "archives": [
                    {
                        "file": archive.file,
                        "url": archive.url,
                        "size_bytes": archive.size_bytes,
                        "md5": archive.md5,
                        "checked": list(archive.checked),
                        "files": archive.num_files,
                        "top_level": list(archive.top_level),
                        "new": archive.file in result.new,
                    }
                    for archive in result.archives
                ],
            }
        )
        return
    for archive in result.archives:
        what = "unpacked" if archive.file in result.new else "up to date"
        checked = f"checked: {', '.join(archive.checked)}" if archive.checked else "no published checksum"
        output.stdout.print(f"{archive.file}: {what}, {archive.num_files:,} files, md5 {archive.md5} ({checked})")
    if result.dataset_root is None:
        output.message(f"{result.root} has no CLEAR folder: look at what the archive contains", warning=True)
    else:
        output.next_command("prepare-avalanche", *in_dataset(result.dataset_root))


def _parse_md5(given: list[str]) -> str | dict[str, str] | None:
    """The values of --md5 in the library's form. Raises UsageError."""
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    pairs = [value.partition("=")[::2] for value in given]
    if any("=" not in value for value in given) or len(dict(pairs)) < len(pairs):
        raise UsageError(f"--md5 {' '.join(given)}: expected FILE=HEX, once for each file")
    return dict(pairs) or None
