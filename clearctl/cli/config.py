"""`clearctl config check`, `show`, `list` and `copy`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl.cli.commands import Commands
from clearctl.cli.completion import config_names, shipped_names
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.lines import print_names
from clearctl.cli.next_commands import nearby
from clearctl.cli.options import DatasetRoot, Json, Set
from clearctl.errors import ConfigError

_UNREAD = "images, features and weights were not read: a dry run does"

config = Commands(name="config", help="Check and show configs, list and copy those that come with clearctl.")


@config.command("check")
@reporting_errors
def check(
    configs: Annotated[
        list[Path],
        typer.Argument(
            metavar="CONFIG", autocompletion=config_names, help="Config files, or names of shipped configs."
        ),
    ],
    dataset_root: DatasetRoot = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Report all faults of all files at once; if the dataset folder exists, check them against it too.

    It reads no images, features or weights; it ends with the command that does.

    Example: `clearctl config check configs/demo.py configs/quickstart.py`
    """
    with importing():
        from clearctl.engine.build.preflight import check_config

    results = {str(file): check_config(file, dataset_root=dataset_root, overrides=set_ or []) for file in configs}
    faults = [fault for result in results.values() for fault in result.faults]
    if json:
        output.json(
            {
                file: {"faults": result.faults, "notices": list(result.notices), "notes": list(result.notes)}
                for file, result in results.items()
            }
        )
    else:
        for file, result in results.items():
            for notice in result.notices:
                output.message(f"{file}: {notice}")
            for note in result.notes:
                output.message(f"{file}: note: {note}")
            if result.faults:
                continue
            against = result.dataset_root if result.dataset_found else "no dataset: its folder does not exist"
            output.stdout.print(f"{file}: no fault found (checked against {against})")
        sound = [file for file, result in results.items() if not result.faults]
        if sound:
            output.message(_UNREAD)
        for file in sound:
            output.next_command(*_dry_run(file, dataset_root, set_ or []))
    if faults and not json:
        raise ConfigError("\n".join(faults))
    if faults:
        raise typer.Exit(ConfigError.exit_code)


def _dry_run(file: str, dataset_root: Path | None, overrides: list[str]) -> list[str]:
    """The words of the command, with the options of the check."""
    where = ["--dataset-root", str(dataset_root)] if dataset_root is not None else []
    changes = [part for override in overrides for part in ("--set", override)]
    return ["train", file, *where, *changes, "--dry-run"]


@config.command("show")
@reporting_errors
def show(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG", autocompletion=config_names, help="A config file, or the name of a shipped one."
        ),
    ],
    set_: Set = None,
    json: Json = False,
) -> None:
    """Print the merged config, each value with the file that it came from.

    Example: `clearctl config show configs/demo.py --set cl_strategy.train_epochs=1`
    """
    from clearctl.config.dialect import translated
    from clearctl.config.load import flatten, load

    loaded = translated(load(file, set_ or []))
    leaves = [(key, value, loaded.origin(key)) for key, value in flatten(loaded.values)]
    if json:
        output.json({"config": loaded.values, "origins": {key: origin for key, _, origin in leaves}})
        return
    width = max(len(f"{key} = {value!r}") for key, value, _ in leaves)
    for key, value, origin in leaves:
        output.stdout.print(f"{f'{key} = {value!r}':{min(width, 72)}}  # {origin}", markup=False, soft_wrap=True)


@config.command("list")
@reporting_errors
def list_configs(json: Json = False) -> None:
    """List the configs that come with clearctl; each command that takes a config takes their names.

    Example: `clearctl config list`
    """
    from clearctl.config.shipped import FOLDER, describe, names

    found = {name: describe(name) for name in names()}
    if json:
        rows = [{"name": name, "what": what, "file": str(FOLDER / f"{name}.py")} for name, what in found.items()]
        output.json({"configs": rows})
        return
    print_names(found)


@config.command("copy")
@reporting_errors
def copy(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", autocompletion=shipped_names, help="The name of a shipped config, such as paper/ewc."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the copy is made.")] = Path("configs"),
    json: Json = False,
) -> None:
    """Copy a config that comes with clearctl, and the files it builds on, to edit them.

    Example: `clearctl config copy paper/ewc my-configs`
    """
    from clearctl.config.copying import copy_config

    files = copy_config(name, folder)
    if json:
        output.json({"config": str(files[0]), "bases": [str(file) for file in files[1:]]})
        return
    output.stdout.print(str(files[0]))
    for base in files[1:]:
        output.stdout.print(f"  builds on {base}")
    output.next_command("config", "check", nearby(files[0]))
