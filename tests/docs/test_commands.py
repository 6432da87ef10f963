"""Every command line that a page shows is one that clearctl takes, and names configs that are there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def block_lines(page: Path, program: str = "clearctl") -> list[list[str]]:
    """The words of each `clearctl ...` in the blocks of the page."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    blocks = [block for language, block in fenced if language != "text"]  # text: the usage of a command
    return _words([re.sub(r"^(\$|!|exec) ?", "", line) for block in blocks for line in block.splitlines()], program)


def command_lines(page: Path, program: str = "clearctl") -> list[list[str]]:
    """The words of each `clearctl ...` in the page, in its blocks and in its sentences."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]
    return block_lines(page, program) + _words(spans, program)


def _words(lines: list[str], program: str) -> list[list[str]]:
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_blocks_parse(page, commands):
    """They have all required arguments, and values of the right kinds."""
    for words in block_lines(page):
        command, rest = commands[words[0]], words[1:]
        if rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        assert command.make_context(words[0], list(rest)).command is command


@pytest.mark.parametrize(
    "line", [["train"], ["train", "demo", "--seed", "N"], ["resume", "a", "b"], ["train", "a", "--x"]]
)
def test_a_command_that_does_not_parse_is_found(line, commands):
    with pytest.raises(Exception, match=r"(?i)missing|integer|unexpected|no such option"):
        commands[line[0]].make_context(line[0], line[1:])


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
    copied = [words[2:] for words in lines if words[:2] == ["config", "copy"]]
    named |= {words[0] for words in copied if words}
    assert not [words for words in copied if words[1:] and words[1].endswith(".py")]  # it is a folder
    assert {"demo_feature", "paper/ewc"} <= named <= set(names())


def test_the_page_on_resuming_shows_the_message_of_today():
    from clearctl.engine.run.stopping import STOPPING

    assert f"^C\n{STOPPING.text}\n" in (ROOT / "docs" / "resume.md").read_text()


def test_there_are_command_lines_to_look_at():
    assert sum(len(command_lines(page)) for page in PAGES) > 60
    assert ["download", "clear10"] in command_lines(ROOT / "docs" / "first-hour.md")
