"""What reaches a terminal: no commands to it from names or files, any character, and one line where it is full."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from clearctl.cli.console import Output, reporting_errors
from clearctl.cli.streams import EscapingConsole, escaped, fill
from clearctl.report.records import without_formula

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9bc\r\u202egpj.exe\udcff"
SAFE = "a\\x1b[2J\\x1b]0;title\\x07b\\x9bc\\r\\u202egpj.exe\\udcff"


def test_control_characters_are_escaped() -> None:
    assert escaped(HOSTILE) == SAFE
    assert escaped("ordinary\nlines, Näive ✓ 図") == "ordinary\nlines, Näive ✓ 図"


def test_nothing_that_is_printed_commands_the_terminal() -> None:
    stream = io.StringIO()
    console = EscapingConsole(file=stream, force_terminal=True, width=200, highlight=False)
    table = Table("name")
    table.add_row(Text(HOSTILE))
    for each in (HOSTILE, Text(HOSTILE, style="red"), table):
        console.print(each, markup=False)
    text = stream.getvalue()
    assert "\x1b[2J" not in text
    assert "\x1b]0;" not in text
    assert not {"\x07", "\x9b", "\u202e", "\udcff"} & set(text)
    assert text.count("\\x1b[2J") == 3
    assert "\x1b[31m" in text  # rich's own colours stay


def test_messages_and_bars_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.message(HOSTILE, warning=True)
    said = capsys.readouterr().err
    assert said == f"warning: {SAFE}\n".replace("\\r", "").replace("\\x07", "")  # rich leaves these two out
    stream = io.StringIO()
    with Progress(console=EscapingConsole(file=stream, force_terminal=True, width=200)) as progress:
        progress.add_task("a\x1b[2Jb", total=1)
    assert "\x1b[2J" not in stream.getvalue()
    assert "\x1b[1A" in stream.getvalue() or "\x1b[?25l" in stream.getvalue()  # the bars move the cursor still


@pytest.mark.parametrize(
    ("terminal", "quiet", "kind"),
    [(True, False, "xterm"), (True, True, "xterm"), (False, False, "xterm"), (True, False, "dumb")],
)
def test_while_libraries_load_a_terminal_has_a_line_that_goes(
    terminal: bool, quiet: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its lines can be erased."""
    monkeypatch.delitem(sys.modules, "avalanche", raising=False)
    monkeypatch.setenv("TERM", kind)
    stream = io.StringIO()
    console = EscapingConsole(file=stream, force_terminal=terminal, width=80, color_system=None)
    with Output(quiet=quiet, stderr=console).loading():
        shown = stream.getvalue()
    assert shown == (
        "loading PyTorch and Avalanche (a few seconds)" if terminal and not quiet and kind == "xterm" else ""
    )
    assert stream.getvalue() == (f"{shown}\r\x1b[2K" if shown else "")


def test_the_next_command_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    Output().next_command("train", "own_data", "--dataset-root", Path("my data"))
    assert capsys.readouterr().out == "next: clearctl train own_data --dataset-root 'my data'\n"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@x", "'@x"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        ("-x", "'-x"),
        ("naive", "naive"),
        (-1, -1),
    ],
)
def test_a_spreadsheet_takes_no_name_for_a_formula(cell: object, written: object) -> None:
    assert without_formula(cell) == written


@pytest.mark.process
def test_a_full_output_and_one_that_lacks_characters(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "clearctl"]
    if Path("/dev/full").exists():
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([*command, "--version"], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 6
        assert done.stderr == "error: standard output cannot be written: No space left on device\n"
        shown = tmp_path / "config.py"
        shown.write_text("a = 1\n")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run([*command, "config", "show", shown], stdout=full, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (
            6,
            "error: standard output cannot be written: No space left on device\n",
        )
    done = subprocess.run([*command, "--help"], env={"PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("code", [0, None])
def test_code_of_the_users_own_cannot_end_a_command_well(code: int | None) -> None:
    @reporting_errors
    def command() -> None:
        sys.exit(code)

    with pytest.raises(typer.Exit) as caught:
        command()
    assert caught.value.exit_code == 3


def test_a_terminal_breaks_lines_between_words_and_never_in_a_command() -> None:
    text = io.StringIO()
    console = EscapingConsole(file=text, force_terminal=True, width=12, soft_wrap=True, highlight=False, markup=False)
    console.print("to be broken here")
    console.print(Text.assemble(("warning: ", "yellow"), "a folder/that/is/long has it"))
    console.print("run `clearctl report work_dirs` now")
    plain = re.sub(r"\x1b\[[\d;]*m", "", text.getvalue()).splitlines()
    broken = ["to be broken", "here", "warning: a", "folder/that/is/long", "has it"]
    assert plain == [*broken, "run `clearctl report work_dirs` now"]
    off = EscapingConsole(file=io.StringIO(), width=12, soft_wrap=True)
    off.print("to be broken here")
    assert off.file.getvalue() == "to be broken here\n"  # type: ignore[attr-defined]
    assert fill("  indented", 4) == "  indented"
