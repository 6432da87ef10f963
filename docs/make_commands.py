"""Write docs/commands.md from the command line itself: python docs/make_commands.py (`make docs`)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from rich.markup import render

from clearctl.cli import app

PAGE = Path(__file__).with_name("commands.md")
# Every command has them, so they are described once.
OF_EVERY_COMMAND = ("json", "verbose", "quiet", "help")

HEAD = """\
# Commands

What `clearctl COMMAND --help` prints, on one page. It is made from the code by `make docs`.

`clearctl [--version] [-v] [-q] COMMAND`. Messages and progress go to stderr, results to stdout. Every command takes

| option | meaning |
|---|---|
| `--json` | print one JSON object on stdout, and nothing else there |
| `-v`, `--verbose` | add the traceback to an error |
| `-q`, `--quiet` | print only results, warnings and errors |
| `-h`, `--help` | print the help, with an example |

`clearctl --install-completion` installs shell completion of commands, options, configs, values of `--set` and run
folders.

`--device` takes `auto`, `cpu`, `cuda` or `cuda:N`. The dataset folder is `--dataset-root DIR`, else
`$CLEARCTL_DATASET_ROOT`, else the default folder of the config's `data_name` (`dataset/CLEAR-10-PUBLIC`,
`dataset/CLEAR-100-PUBLIC`).

## Exit codes

An error is one or two lines: what is wrong, where, what was found, what to do.

| code | meaning |
|---|---|
| 0 | done |
| 1 | a fault in clearctl; please report it |
| 2 | wrong usage: an option, an argument |
| 3 | the config |
| 4 | the dataset |
| 5 | a run folder or a checkpoint |
| 6 | something that this machine lacks: a GPU, memory, a library, a network |
| 130, 143 | stopped by Ctrl-C, by SIGTERM |
"""


def page() -> str:
    """The text of docs/commands.md."""
    return "\n\n".join([HEAD.strip(), *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    commands = list(_commands(typer.main.get_command(app), "clearctl"))
    yield "## All commands"
    rows = [f"| [`{path}`](#{_anchor(path)}) | {_cell(_summary(command))} |" for path, command in commands]
    yield "\n".join(["| command | what it does |", "|---|---|", *rows])
    for path, command in commands:
        yield from _section(path, command)


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each command with its words, such as `clearctl config check`."""
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


def _summary(command: Any) -> str:
    return _paragraphs(command)[0]


def _paragraphs(command: Any) -> list[str]:
    """The paragraphs of the help, each in one line."""
    return [" ".join(part.split()) for part in _plain(command.help).split("\n\n")]


def _section(path: str, command: Any) -> Iterator[str]:
    yield f"## {path}"
    yield from (_escaped(text) for text in _paragraphs(command) if not text.startswith("Example"))
    context = typer.Context(command, info_name=path)
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    examples = [text for text in _paragraphs(command) if text.startswith("Example")]
    lines = [usage, *(code for text in examples for code in re.findall("`([^`]+)`", text))]
    yield "\n".join(["```text", lines[0], "```"])
    if lines[1:]:
        yield "\n".join(["Example:" if len(lines) == 2 else "Examples:", "", "```", *lines[1:], "```"])
    rows = [_row(parameter) for parameter in command.get_params(context) if parameter.name not in OF_EVERY_COMMAND]
    if rows:
        yield "\n".join(["| argument or option | default | meaning |", "|---|---|---|", *rows])


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name, default = f"`{parameter.metavar}`", "required" if parameter.required else ""
    else:
        value = f" {parameter.metavar}" if parameter.metavar else ""
        names = [f"`{name}{value}`" for name in (*parameter.opts, *parameter.secondary_opts)]
        name = ", ".join(names)
        default = "required" if parameter.required else _default(parameter)
    return f"| {_cell(name)} | {_cell(default)} | {_cell(_plain(parameter.help))} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value in (None, False, (), []) or callable(value):
        return ""
    if value is True:
        return f"`{parameter.opts[0]}`"
    return f"`{value}`"


def _plain(text: str | None) -> str:
    """A help text, in which brackets are escaped for Typer, as it is shown."""
    return render(text or "").plain


def _escaped(text: str) -> str:
    """`text` outside code with what Markdown would take for a tag or emphasis escaped."""
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(part if part.startswith("`") else _escaped_prose(part) for part in parts)


def _escaped_prose(text: str) -> str:
    return re.sub(r"([*_])", r"\\\1", text).replace("<", "&lt;").replace(">", "&gt;")


def _cell(text: str) -> str:
    """`text` in a cell of a table."""
    return _escaped(text).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
