"""`clearctl doctor`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from clearctl.cli.console import output, reporting_errors
from clearctl.cli.lines import print_line
from clearctl.cli.options import DatasetRoot, Json
from clearctl.errors import CapabilityError
from clearctl.wording import counted

if TYPE_CHECKING:
    from clearctl.doctor.checks import Check
    from clearctl.doctor.diagnose import Diagnosis

STYLES = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@reporting_errors
def doctor(
    dataset_root: DatasetRoot = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Build and install mmcv if it is missing or broken, and check again.")
    ] = False,
    json: Json = False,
) -> None:
    """Check what clearctl needs on this machine, and print the command that installs what is missing.

    Python, libraries and their versions, GPUs, memory, cores, disks, the dataset folder, W&B's login, write access.
    Ends with exit code 6 if clearctl could not train on a CPU here, else 0. Uses no network, and changes nothing
    without --fix.

    Example: `clearctl doctor`
    """
    from clearctl.cli.progress import Display
    from clearctl.doctor import diagnose as library

    done: list[str] = []
    failed: CapabilityError | None = None
    with Display(output) as display:
        found = library.diagnose(dataset_root, listener=display.show)
        if fix:
            try:
                done = library.fix(found, display.show)
            except CapabilityError as error:
                failed = error
        if done:
            found = library.diagnose(dataset_root, listener=display.show)
    if json:
        output.json(_as_json(found, done, failed))
    else:
        _print(found, done, failed, fix)
    if not found.can_train:
        raise typer.Exit(CapabilityError.exit_code)


def _as_json(found: "Diagnosis", done: list[str], failed: CapabilityError | None) -> dict[str, Any]:
    return {
        "can_train": found.can_train,
        "checks": [{"section": one.title, **asdict(check)} for one in found.sections for check in one.checks],
        "fixed": done,
        "fix_failed": None if failed is None else str(failed),
    }


def _print(found: "Diagnosis", done: list[str], failed: CapabilityError | None, asked_to_fix: bool) -> None:
    width = max(len(check.name) for check in found.checks)
    for one in found.sections:
        output.stdout.print(Text(one.title, style="bold"))
        for check in one.checks:
            _print_check(check, width)
    for text in done:
        output.stdout.print(Text.assemble(("fixed: ", "green"), text))
    if failed is not None:
        output.stdout.print(Text.assemble(("not fixed: ", "bold red"), str(failed)))
    elif asked_to_fix and not done:
        output.stdout.print("--fix has nothing to do: mmcv is installed")
    output.stdout.print(_verdict(found))
    if found.can_train:
        output.next_command("demo")


def _print_check(check: "Check", width: int) -> None:
    """Print a check in columns; on a terminal the fix has its own line."""
    first = [Text(f"  {check.state:7}  ", style=STYLES[check.state]), Text(f"{check.name:{width}}  ")]
    found, in_one_line = Text(check.found), Text(check.found)
    if check.fix:
        fix = f"{'if needed' if check.state == 'ok' else 'fix'}: {check.fix}"
        found.append(f"\n{fix}", style="dim" if check.state == "ok" else "cyan")
        in_one_line.append(f"; {fix}")
    print_line(first, found, off_terminal=in_one_line)


def _verdict(found: "Diagnosis") -> Text:
    problems, warnings = (sum(check.state == state for check in found.checks) for state in ("problem", "warning"))
    aside = f", {counted(warnings, 'warning')}" if warnings else ""
    if found.can_train:
        return Text.assemble(("ready", "bold green"), f": clearctl can train here{aside}")
    return Text.assemble(("not ready", "bold red"), f": {counted(problems, 'problem')}{aside}")
