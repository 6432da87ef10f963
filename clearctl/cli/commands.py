"""Typer's groups and commands as clearctl has them: what all of them share is set here once."""

import difflib
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
SETTINGS = {"help_option_names": ["-h", "--help"]}


def _without_types(parameters: list[Any]) -> list[Any]:
    """`parameters` of a help page, where Typer would name the type of each flag, `<bool>`, and argument, `<path>`."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
    return parameters


class ClearctlCommand(TyperCommand):
    """A command."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as a help page shows them."""
        return _without_types(super().get_params(ctx))


class ClearctlGroup(TyperGroup):
    """A group of commands, which knows what a wrong command was meant to be."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as a help page shows them."""
        return _without_types(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with. Ends with a usage error that names the closest where there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            self._refuse(ctx, name)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: Any, name: str) -> None:
        meant = closest_commands(name, self._paths())
        hint = f" Did you mean {' or '.join(map(repr, meant))}?" if meant else f" `{ctx.command_path} -h` lists them."
        ctx.fail(f"No such command {name!r}.{hint}")

    def _paths(self) -> list[str]:
        """`train`, `config check` and so on."""
        paths = []
        for name, command in self.commands.items():
            paths.append(name)
            paths += [f"{name} {below}" for below in getattr(command, "commands", {})]
        return paths


def closest_commands(name: str, paths: list[str]) -> list[str]:
    """Up to three of `paths` that `name` may be meant for: it is a word of them, or almost one, or almost all."""
    name = name.lower()
    words = {path: path.replace("-", " ").split() for path in paths}
    found = [path for path in paths if name in words[path]] or difflib.get_close_matches(name, paths, n=3, cutoff=0.6)
    found = found or [path for path in paths if difflib.get_close_matches(name, words[path], n=1, cutoff=0.75)]
    return found[:3]


class Commands(typer.Typer):
    """A Typer whose groups and commands are those of this module."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            cls=ClearctlGroup, no_args_is_help=True, rich_markup_mode="rich", context_settings=SETTINGS, **settings
        )

    def command(self, name: str | None = None, **settings: Any) -> Callable[[AnyFunction], AnyFunction]:
        """The decorator that adds a command."""
        return super().command(name, cls=ClearctlCommand, **settings)
