"""The settings that all of clearctl's commands and groups share."""

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from clearctl.cli.console import hint_of, output
from clearctl.wording import any_of

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
SETTINGS = {"help_option_names": ["-h", "--help"]}
# Typer exports neither by name.
CommandLineError: type[Any] = typer.BadParameter.__mro__[1]
_NO_ARGUMENTS = "NoArgsIsHelpError"  # the help page was printed


def _without_types(parameters: list[Any]) -> list[Any]:
    """`parameters` as a help page shows them: without Typer's `<bool>` for flags and `<path>` for arguments."""
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

    def invoke(self, ctx: Any) -> Any:
        """Run it; what it prints may include its name."""
        output.context = ctx
        return super().invoke(ctx)


class ClearctlGroup(TyperGroup):
    """A group of commands, which suggests the closest command for a wrong one."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as a help page shows them."""
        return _without_types(super().get_params(ctx))

    def main(self, *arguments: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        """Run the command line, and print its errors as all others are printed; Typer would draw a box."""
        run: Callable[..., Any] = super().main
        if not standalone_mode:
            return run(*arguments, standalone_mode=False, **settings)
        output.context = None
        try:
            sys.exit(run(*arguments, standalone_mode=False, **settings))
        except CommandLineError as error:
            if type(error).__name__ != _NO_ARGUMENTS:
                output.error(_usage_text(error), hint_of(error.ctx or output.context))
            sys.exit(error.exit_code)
        except typer.Abort:
            sys.exit(1)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with. A usage error that suggests the closest if there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            self._refuse(ctx, name)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: Any, name: str) -> None:
        meant = closest_commands(name, self._paths())
        ctx.fail(f"no such command {name!r}{_meant(meant)}")

    def _paths(self) -> list[str]:
        """`train`, `config check` and so on."""
        paths = []
        for name, command in self.commands.items():
            paths.append(name)
            paths += [f"{name} {below}" for below in getattr(command, "commands", {})]
        return paths


def _usage_text(error: Any) -> str:
    """Typer's error of a command line, in the words and the form of all other errors."""
    if hasattr(error, "possibilities"):
        return f"no such option {error.option_name!r}{_meant(sorted(error.possibilities or ()))}"
    if found := getattr(error.__cause__, "errors", None):  # pydantic's, of a value
        option = max(error.param.opts, key=len) if error.param.param_type_name == "option" else error.param.name
        return f"{option} {found()[0]['input']}: {error.message.removeprefix('Input ').partition(',')[0]}"
    text: str = error.format_message().strip().removesuffix(".")
    return text[:1].lower() + text[1:]


def _meant(names: Sequence[str]) -> str:
    return f"; did you mean {any_of([repr(name) for name in names])}?" if names else ""


def closest_commands(name: str, paths: list[str]) -> list[str]:
    """Up to three of `paths` that `name` may stand for: it is one of their words, or close to a word or to the path."""
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
