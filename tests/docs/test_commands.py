"""Every command line that a page shows is one that clearctl takes, and names configs that are there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def command_lines(page: Path, program: str = "clearctl") -> list[list[str]]:
    """The words of each `clearctl ...` in the page, in its blocks and in its sentences."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced if language != "text"]  # text: the usage of a command
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines += [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    found = [re.sub(r"^[A-Z_]+=\S+ ", "", line).partition("  #")[0] for line in lines]
    return [shlex.split(line)[1:] for line in found if line.startswith(f"{program} ") and "COMMAND" not in line]


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("-") and len(word) > 1]


@pytest.fixture(scope="module")
def commands():
    from clearctl.cli import app

    group = typer.main.get_command(app)
    return group.commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines(page, commands):
    for words in command_lines(page):
        if words[0].startswith("-"):
            continue
        name, rest = words[0], words[1:]
        assert name in commands, f"{page.name}: clearctl {' '.join(words)}"
        command = commands[name]
        if rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = [option for option in options(rest) if option not in known]
        assert not unknown, f"{page.name}: clearctl {' '.join(words)}: no {unknown}"
        for word in rest:
            if re.fullmatch(r"configs/[\w./-]+\.py", word):
                assert (ROOT / word).is_file(), f"{page.name} names {word}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_make_targets(page):
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in command_lines(page, "make") for word in words if re.fullmatch("[a-z-]+", word)}
    assert named <= targets


def test_shipped_configs_that_pages_name_are_there():
    from clearctl.config.shipped import names

    lines = [words for page in PAGES for words in command_lines(page)]
    trained = {words[1] for words in lines if words[0] == "train" and len(words) > 1}
    named = {word for word in trained if re.fullmatch("[a-z][a-z0-9_/]+", word)}
    named |= {words[2] for words in lines if words[:2] == ["config", "copy"] and len(words) > 2}
    assert {"demo_feature", "paper/ewc"} <= named <= set(names())


def test_there_are_command_lines_to_look_at():
    assert sum(len(command_lines(page)) for page in PAGES) > 60
    assert ["download", "clear10"] in command_lines(ROOT / "docs" / "first-hour.md")
