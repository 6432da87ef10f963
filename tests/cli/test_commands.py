"""What all commands share: the groups of the help page, -v and -q on either side, the closest for a wrong name."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result
from warm import run_on_terminal

from clearctl.cli import app
from clearctl.cli.commands import close_names

PANELS = {
    "Start here": ["demo", "doctor"],
    "Dataset": [
        "download",
        "import",
        "prepare-avalanche",
        "make-fewshot",
        "rebuild-by-metadata",
        "extract-features",
        "verify",
    ],
    "Experiments": ["train", "resume", "eval", "predict", "export", "report", "sweep"],
    "Configs": ["list", "config"],
}


def clearctl(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def all_commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(its words, the command) for each that does something, of all groups."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from all_commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(all_commands())


def test_help_is_in_groups() -> None:
    found: dict[str, list[str]] = {}
    for line in clearctl("--help").stdout.splitlines():
        if title := re.match(r"╭─ ([\w ]+) ─", line):
            panel = found.setdefault(title[1], [])
        elif name := re.match(r"│ ([a-z][a-z-]+) ", line):
            panel.append(name[1])
    assert {title: names for title, names in found.items() if title != "Options"} == PANELS


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_takes_v_and_q_and_its_help_names_no_type_of_a_flag(words: tuple[str, ...]) -> None:
    options = {option for parameter in ALL[words].params for option in parameter.opts}
    assert {"-v", "--verbose", "-q", "--quiet"} <= options
    for page in (clearctl(*words, "--help"), clearctl(*words[:-1], "--help")):
        assert page.exit_code == 0
        assert "--help" in page.stdout
        assert "<bool>" not in page.stdout


@pytest.mark.parametrize("place", [0, 2])
def test_verbose_on_either_side(place: int) -> None:
    words = ["config", "show", "nowhere.py"]
    plain = clearctl(*words)
    assert plain.exit_code == 3
    assert "Traceback" not in plain.stderr
    words.insert(place, "-v")
    verbose = clearctl(*words)
    assert verbose.exit_code == 3
    assert "Traceback" in verbose.stderr
    assert "Traceback" not in clearctl("config", "show", "nowhere.py").stderr  # it is of that command alone


@pytest.mark.parametrize("place", [0, 1])
def test_quiet_on_either_side(place: int, clear_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = str(clear_folder())
    words = ["rebuild-by-metadata", "--dataset-root", root, "--sort-by", "date_taken", "--num-buckets", "2"]
    assert clearctl(*words, "--output", str(tmp_path / "a")).stderr == "date_taken is read as dates\n"
    words.insert(place, "-q")
    answer = clearctl(*words, "--output", str(tmp_path / "b"))
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert "2 buckets" in answer.stdout


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("trian", "'train'"),
        ("prepare", "'prepare-avalanche'"),
        ("features", "'extract-features'"),
        ("evaluate", "'eval'"),
        ("Check", "'config check'"),
    ],
)
def test_the_closest_command_is_named(wrong: str, meant: str) -> None:
    answer = clearctl(wrong)
    assert answer.exit_code == 2
    assert f"no such command '{wrong}'; did you mean {meant}?" in answer.stderr
    assert answer.stdout == ""


def test_no_command_is_close() -> None:
    answer = clearctl("xyzzy")
    assert answer.exit_code == 2
    assert answer.stderr == "error: no such command 'xyzzy'\ntry `clearctl --help`\n"
    expected = "error: no such command 'shw'; did you mean 'show'?\ntry `clearctl config --help`\n"
    assert clearctl("config", "shw").stderr == expected


def test_a_word_comes_before_what_only_looks_alike() -> None:
    assert close_names("prepare", ["report", "prepare-avalanche"]) == ["prepare-avalanche"]
    assert close_names("reprt", ["report", "prepare-avalanche"]) == ["report"]
    assert close_names("featurs", ["report", "extract-features"]) == ["extract-features"]
    assert close_names("extr", ["report", "extract-features"]) == ["extract-features"]
    assert close_names("q", ["report"]) == []


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_only_close_options_are_suggested(words: tuple[str, ...]) -> None:
    error = clearctl(*words, "--bogus").stderr.splitlines()[0]
    known = [option for parameter in ALL[words].params for option in parameter.opts]
    hint = "; a value of the config is changed by --set KEY=VALUE" if "--set" in known else ""
    assert error == f"error: no such option '--bogus'{hint}"
    long = max(known, key=len)
    for wrong in (long.replace("-", "_").replace("__", "--"), long[:-1], long[:6], f"{long}x"):
        if wrong not in known:
            assert f"'{long}'" in clearctl(*words, wrong).stderr.splitlines()[0]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_help_page_has_its_whole_text_and_breaks_lines_only_at_its_width(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what is in brackets, which rich takes for styles; and arguments by their names alone."""
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 400)
    page = clearctl(*words, "--help").stdout
    wide = " ".join(re.sub(r"│ \*|│", " ", page).split())
    for paragraph in inspect.cleandoc(ALL[words].callback.__doc__).split("\n\n"):
        assert " ".join(paragraph.split()) in wide
    for parameter in inspect.signature(ALL[words].callback).parameters.values():
        (given,) = parameter.annotation.__metadata__  # typer.Option(...), as it is in the code
        assert " ".join(given.help.split()) in wide
    usage = next(line for line in page.splitlines() if "Usage:" in line)
    assert not set("{}<>") & set(usage)
    assert "[[" not in usage
    assert "<=" not in page.replace("== != < <= > >=", "")  # no range of a number


@pytest.mark.parametrize("words", [["verify"], ["train", "demo"], ["prepare-avalanche"]])
def test_a_folder_given_as_an_argument_is_shown_as_the_option_that_takes_it(words: list[str], tmp_path: Path) -> None:
    answer = clearctl(*words, str(tmp_path))
    expected = f"error: unexpected argument {str(tmp_path)!r}; a dataset is given as --dataset-root {tmp_path}"
    assert (answer.exit_code, answer.stderr.splitlines()[0]) == (2, expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train --sed 1", "no such option '--sed'; did you mean '--seed' or '--set'?"),
        ("train demo --seed x", "--seed x: should be a valid integer"),
        ("train demo --nproc 100000", "--nproc 100000: this machine has "),
        ("train demo --nproc 0", "--nproc 0: should be greater than or equal to 1"),
        ("train", "missing argument 'CONFIG'"),
        ("train demo more", "unexpected argument 'more'"),
        ("list strategy", "list strategy: expected strategies, plugins, backbones"),
        ("prepare-avalanche --seeds 0-x", "--seeds 0-x: expected numbers such as 0-4"),
    ],
)
def test_what_is_wrong_with_a_command_line_is_said_in_two_lines(words: str, expected: str) -> None:
    """Whether Typer finds it or clearctl."""
    answer = clearctl(*words.split())
    assert (answer.exit_code, answer.stdout) == (2, "")
    error, hint = answer.stderr.splitlines()
    assert error.startswith(f"error: {expected}")
    assert hint == f"try `clearctl {words.split()[0]} --help`"


@pytest.mark.parametrize("words", ["train --sed 1", "train", "trian", "train demo --seed x"])
def test_a_terminal_gets_the_same_words(words: str) -> None:
    code, text = run_on_terminal(words.split())
    plain = re.sub(r"\x1b\[[\d;]*m", "", text).replace("\r\n", "\n")
    assert "\x1b[1;31merror: \x1b[0m" in text
    expected = clearctl(*words.split()).stderr.replace("`clearctl", "`python -m clearctl")
    assert (code, plain) == (2, expected)
