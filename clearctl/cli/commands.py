"""The settings that all of clearctl's commands and groups share."""

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from clearctl.cli.console import hint_of, output
from clearctl.wording import any_of

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])
SETTINGS = {"help_option_names": ["-h", "--help"]}
# Typer exports neither by name.
CommandLineError: type[Any] = typer.BadParameter.__mro__[1]
_NO_ARGUMENTS = "NoArgsIsHelpError"  # the help page was printed
_SHORTEST = 3  # letters of what may be the beginning of a name


def _without_types(parameters: list[Any]) -> list[Any]:
    """`parameters` as a help page shows them: without Typer's types of flags and arguments, and without ranges.

    The error about a value says what its range is; in the page it would take the width of the explanations.
    """
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None
        parameter._get_number_range_help_str = lambda: None
    return parameters


def _escape_help(command: Any) -> None:
    """Keep Typer from reading `[optuna]` as a style, and from breaking lines where the docstring does."""
    paragraphs = re.split(r"\n\s*\n", (command.help or "").strip())
    command.help = escape("\n\n".join(" ".join(each.split()) for each in paragraphs))
    for parameter in command.params:
        parameter.help = escape(parameter.help) if getattr(parameter, "help", None) else None


class ClearctlCommand(TyperCommand):
    """A command."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        _escape_help(self)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters, as a help page shows them."""
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The parts of the usage line, without Typer's braces around arguments: `CONFIG`, `[DIR]`."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def invoke(self, ctx: Any) -> Any:
        """Run it; what it prints may include its name."""
        output.context = ctx
        return super().invoke(ctx)


class ClearctlGroup(TyperGroup):
    """A group of commands, which suggests the closest command for a wrong one."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        _escape_help(self)

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
        except SystemExit as ended:
            if isinstance(ended.__context__, BrokenPipeError):  # the reader of a help page has ended (`| head -1`)
                sys.exit(0)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` begin with. A usage error that suggests the closest if there is none."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            self._refuse(ctx, name)
        return super().resolve_command(ctx, args)

    def _refuse(self, ctx: Any, name: str) -> None:
        meant = close_names(name, self._paths())
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
        return f"no such option {error.option_name!r}{_meant(_closest_options(error)) or _as_setting(error)}"
    if found := getattr(error.__cause__, "errors", None):  # pydantic's, of a value
        option = max(error.param.opts, key=len) if error.param.param_type_name == "option" else error.param.name
        return f"{option} {found()[0]['input']}: {error.message.removeprefix('Input ').partition(',')[0]}"
    text: str = error.format_message().strip().removesuffix(".")
    if extra := re.fullmatch(r"Got unexpected extra argument.*? \((.*)\)", text, re.DOTALL):
        return f"unexpected argument {extra[1]!r}{_as_option(extra[1], error.ctx)}"
    return text[:1].lower() + text[1:]


def _closest_options(error: Any) -> list[str]:
    """Up to three options of the command that a wrong one may stand for."""
    if error.ctx is None:
        return []
    known = [option for parameter in error.ctx.command.get_params(error.ctx) for option in parameter.opts]
    by_name = {option[2:]: option for option in known if option.startswith("--")}
    found = close_names(error.option_name.lstrip("-").replace("_", "-"), sorted(by_name), cutoff=0.65)
    return [by_name[name] for name in found]


def _as_setting(error: Any) -> str:
    """How a value of the config, which is no option, is given to a command that changes those."""
    takes_values = error.ctx is not None and any("--set" in each.opts for each in error.ctx.command.params)
    return "; a value of the config is changed by --set KEY=VALUE" if takes_values else ""


def _as_option(argument: str, context: Any) -> str:
    """How a folder is given to a command that takes a dataset as an option alone."""
    takes_dataset = any("--dataset-root" in parameter.opts for parameter in context.command.params)
    return f"; a dataset is given as --dataset-root {argument}" if takes_dataset and Path(argument).is_dir() else ""


def _meant(names: Sequence[str]) -> str:
    return f"; did you mean {any_of([repr(name) for name in names])}?" if names else ""


def close_names(name: str, known: list[str], cutoff: float = 0.6) -> list[str]:
    """Up to three of the `known` commands or options that `name` may stand for.

    It is one of their words or their beginning, else close to the whole (by `cutoff` of difflib's ratio) or to a word.
    """
    name = name.lower()
    words = {one: one.replace("-", " ").split() for one in known}
    found = [one for one in known if name in words[one] or (len(name) >= _SHORTEST and one.startswith(name))]
    found = found or difflib.get_close_matches(name, known, n=3, cutoff=cutoff)
    found = found or [one for one in known if difflib.get_close_matches(name, words[one], n=1, cutoff=0.75)]
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
