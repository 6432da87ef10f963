"""`clearctl list`."""

from typing import Annotated

import typer
from rich.text import Text

from clearctl.cli.completion import completer
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.lines import print_line
from clearctl.cli.options import Json
from clearctl.config.registry import closest
from clearctl.errors import UsageError
from clearctl.wording import any_of

CONFIGS = "configs"
KINDS = ("strategies", "plugins", "backbones", "metrics", "transforms", CONFIGS)


@reporting_errors
def list_(
    kind: Annotated[str, typer.Argument(metavar="KIND", autocompletion=completer(KINDS), help=f"{any_of(KINDS)}.")],
    json: Json = False,
) -> None:
    """List what a config may name, or the configs that come with clearctl, each with a line that says what it is.

    What configs are refused is left out. docs/config.md has the arguments of each.

    Example: `clearctl list strategies`
    """
    if kind not in KINDS:
        raise UsageError(f"list {kind}: expected {any_of(KINDS)}{closest(kind, list(KINDS))}")
    named = _configs() if kind == CONFIGS else _classes(kind)
    if json:
        output.json({"kind": kind, "names": [{"name": name, "what": what} for name, what in named.items()]})
        return
    width = max(map(len, named), default=0)
    for name, what in named.items():
        print_line([Text(f"{name:{width}}  ", style="bold")], Text(what))


def _configs() -> dict[str, str]:
    from clearctl.config import shipped

    return {name: shipped.describe(name) for name in shipped.names()}


def _classes(kind: str) -> dict[str, str]:
    with importing():
        from clearctl.engine.build.listing import list_names

    return list_names(kind)
