"""Completions for the shell: names of configs, values of --set, run folders. Nothing here imports torch or mmcv.

If nothing is found, a shell completes file names by itself, so no completer offers folders.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path

import typer

from clearctl.errors import CapabilityError

VARIABLE = "_CLEARCTL_COMPLETE"  # as Typer calls it, which a shell sets when it asks
SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_LEVELS = 3  # work_dirs/sweep/<config and values>/<run>
_MOST_FOLDERS = 2000


def answer(app: Callable[[], None]) -> None:
    """Answer the shell by `app`, with bash's words as they are on the command line; ends the process.

    Of `KEY=VALUE` bash completes VALUE alone, as a word of its own.
    """
    from typer._completion_classes import completion_init

    completion_init()
    before = _undo_splitting() if os.environ[VARIABLE] == "complete_bash" else ""
    if not before:
        app()
    text = io.StringIO()
    try:
        with redirect_stdout(text):
            app()
    finally:
        sys.stdout.write("".join(line.removeprefix(before) for line in text.getvalue().splitlines(keepends=True)))
        sys.stdout.flush()


def _undo_splitting() -> str:
    """Join the words that bash has split at `=`; returns the part of the value that bash takes for another word."""
    words, current = join_at_equal_signs(
        os.environ.get("COMP_WORDS", "").split("\n"), int(os.environ.get("COMP_CWORD", "0"))
    )
    os.environ.update(COMP_WORDS="\n".join(words), COMP_CWORD=str(current))
    word = words[current] if current < len(words) else ""
    value = word.partition("=")[2] if word.startswith("-") else word
    before, sign, _ = value.rpartition("=")
    return before + sign


def join_at_equal_signs(words: list[str], current: int) -> tuple[list[str], int]:
    """Words in which bash has split `a=b` into three, and the index of the `current` one; joined again."""
    joined: list[str] = []
    number = current
    for index, word in enumerate(words):
        if joined and index and (word == "=" or words[index - 1] == "="):
            joined[-1] += word
        else:
            joined.append(word)
        if index == current:
            number = len(joined) - 1
    return joined, number


def shipped_names(incomplete: str) -> list[str]:
    """The configs that come with clearctl."""
    from clearctl.config import shipped

    return [name for name in shipped.names() if name.startswith(incomplete)]


def config_names(incomplete: str) -> list[str]:
    """The shipped configs, and the Python files of the folder that is being named."""
    found = shipped_names(incomplete)
    with suppress(OSError):
        folder, _, start = incomplete.rpartition("/")
        for name in sorted(os.listdir(f"{folder}/" if "/" in incomplete else ".")):
            if name.endswith(".py") and name.startswith(start):
                found.append(f"{folder}/{name}" if "/" in incomplete else name)
    return found


def set_values(incomplete: str) -> list[str]:
    """KEY= for each key of a config; after the `=` the values of a key that has few."""
    key, separator, value = incomplete.partition("=")
    if not separator:
        return [f"{name}=" for name in _keys() if name.startswith(key)]
    return [f"{key}={each}" for each in _values_of(key) if each.startswith(value)]


def _keys() -> Iterator[str]:
    from clearctl.config import keys

    sections = {
        "scenario": keys.SCENARIO,
        "model": keys.MODEL,
        "cl_strategy": {"type": None, **keys.STRATEGY, **keys.EVERY_STRATEGY},
        "data": keys.DATA,
        "checkpoint_config": keys.CHECKPOINTS,
    }
    for name, section in sections.items():
        yield from (f"{name}.{key}" for key in section)
    yield from (name for name in keys.TOP if name not in sections)


def _values_of(key: str) -> Iterable[str]:
    from clearctl.config import keys
    from clearctl.data_names import DATA_NAMES

    if key == "cl_strategy.type":
        return strategy_names()
    if key.startswith("cl_strategy.plugins.") and key.endswith(".type"):
        return plugin_names()
    choices: Mapping[str, Iterable[str]] = {
        "precision": keys.PRECISIONS,
        "data.loader": keys.LOADERS,
        "data.cache": keys.CACHES,
        "data.graph": keys.GRAPHS,
        "scenario.data_name": DATA_NAMES,
        "scenario.evaluation_protocol": keys.PROTOCOLS,
        "scenario.task_labels": keys.TASK_LABELS,
    }
    return choices.get(key, ())


def strategy_names() -> list[str]:
    """The built-in strategies, from their table: to import the classes takes seconds."""
    from clearctl.strategies.traits import STRATEGIES

    return sorted(name for name, traits in STRATEGIES.items() if traits.refused is None)


def plugin_names() -> list[str]:
    """The built-in plugins, from their table."""
    from clearctl.strategies.traits import PLUGINS

    return sorted(name for name, traits in PLUGINS.items() if traits.refused is None)


def run_folders(incomplete: str) -> list[str]:
    """Run folders below the folder that is being named, or below work_dirs, the newest first."""
    return [str(run) for run in _runs(incomplete, lambda run: True)]


def unfinished_runs(incomplete: str) -> list[str]:
    """The run folders that have a state to resume from."""
    from clearctl.rundir import state_folder

    return [str(run) for run in _runs(incomplete, lambda run: state_folder(run).is_dir())]


def _runs(incomplete: str, is_wanted: Callable[[Path], bool]) -> list[Path]:
    from clearctl.config.keys import TOP

    folder = incomplete.rpartition("/")[0] or ("/" if incomplete.startswith("/") else "")
    top = Path(folder or TOP["work_dir"].default)
    found = [run for run in _below(top) if str(run).startswith(incomplete.removeprefix("./")) and is_wanted(run)]
    return sorted(found, key=lambda run: run.name, reverse=True)


def _below(top: Path) -> Iterator[Path]:
    """The run folders at most _LEVELS levels below `top`, among the first _MOST_FOLDERS folders."""
    from clearctl.rundir import is_run

    level = [top]
    looked_at = 0
    for _ in range(_LEVELS + 1):
        below: list[Path] = []
        for folder in level:
            looked_at += 1
            if looked_at > _MOST_FOLDERS:
                return
            with suppress(OSError):
                if is_run(folder):
                    yield folder
                else:
                    below += [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()]
        level = below


def completer(names: Iterable[str]) -> Callable[[str], list[str]]:
    """A completer of a few names."""
    known = tuple(names)
    return lambda incomplete: [name for name in known if name.startswith(incomplete)]


def show(wanted: bool) -> None:
    """The callback of --show-completion: print the script for the shell in use, and exit."""
    if wanted:
        from typer._completion_shared import get_completion_script

        typer.echo(get_completion_script(prog_name="clearctl", complete_var=VARIABLE, shell=_shell()))
        raise typer.Exit


def install(wanted: bool) -> None:
    """The callback of --install-completion: write that script where the shell reads it, and exit."""
    if wanted:
        from typer._completion_shared import install as write

        try:
            shell, file = write(shell=_shell(), prog_name="clearctl", complete_var=VARIABLE)
        except OSError as error:
            raise CapabilityError(
                f"{error.filename}: completion cannot be installed there: {error.strerror}\n"
                "put what `clearctl --show-completion` prints where your shell reads it"
            ) from None
        typer.echo(f"{shell} completion is in {file}: it works in terminals that you open from now on")
        raise typer.Exit


def _shell() -> str:
    """The shell that clearctl was started from. Raises CapabilityError for one without completion."""
    import shellingham

    try:
        shell = str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        shell = "not to be found out"
    if shell not in SHELLS:
        raise CapabilityError(f"the shell is {shell}: expected one of {', '.join(SHELLS)}\nstart clearctl from one")
    return shell
