"""`clearctl list`."""

from fnmatch import fnmatchcase
from typing import Annotated

import typer

from clearctl.cli.completion import completer
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.lines import print_names
from clearctl.cli.options import Json
from clearctl.errors import UsageError
from clearctl.wording import any_of

CONFIGS = "configs"
TIMM = "timm:"
KINDS = ("strategies", "plugins", "backbones", "metrics", "transforms", CONFIGS)


@reporting_errors
def list_(
    kind: Annotated[str, typer.Argument(metavar="KIND", autocompletion=completer(KINDS), help=f"{any_of(KINDS)}.")],
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", help="Only names that match, such as 'timm:*clip*'."),
    ] = None,
    json: Json = False,
) -> None:
    """List the names that a config may use, or the configs that come with clearctl, each with a short description.

    Names that configs may not use are left out. docs/config.md has the arguments of each.

    Example: `clearctl list strategies`
    """
    if kind not in KINDS:
        from clearctl.nearby import closest

        raise UsageError(f"list {kind}: expected {any_of(KINDS)}{closest(kind, list(KINDS))}")
    named = _configs() if kind == CONFIGS else _classes(kind, pattern)
    if pattern is not None:
        named = {name: what for name, what in named.items() if fnmatchcase(name.lower(), pattern.lower())}
    if json:
        output.json({"kind": kind, "names": [{"name": name, "what": what} for name, what in named.items()]})
        return
    if not named:
        raise UsageError(f"list {kind}: no name matches {pattern!r}\n`clearctl list {kind}` lists all")
    print_names(named)


def _configs() -> dict[str, str]:
    from clearctl.config import shipped

    return {name: shipped.describe(name) for name in shipped.names()}


def _classes(kind: str, pattern: str | None) -> dict[str, str]:
    with importing():
        from clearctl.engine.build.listing import list_names, list_timm

    if kind != "backbones":
        return list_names(kind)
    if pattern is not None and pattern.startswith(TIMM):
        return list_timm()
    return {**list_names(kind), f"{TIMM}NAME": f"any model of timm: clearctl list {kind} '{TIMM}*'"}
