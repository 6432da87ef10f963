"""`clearctl resume`."""

from pathlib import Path
from typing import Annotated

import typer

from clearctl.cli.completion import unfinished_runs
from clearctl.cli.console import importing, output, reporting_errors
from clearctl.cli.launch import share_among
from clearctl.cli.options import Json, Nproc
from clearctl.cli.train import print_result


@reporting_errors
def resume(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_DIR", autocompletion=unfinished_runs, help="The folder of a run that was killed or stopped."
        ),
    ],
    device: Annotated[
        str | None, typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda or cuda:N. Default: the run's.")
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Continue although config, dataset or versions have changed.")
    ] = False,
    nproc: Nproc = 1,
    json: Json = False,
) -> None:
    """Resume a run that was killed or stopped. It ends exactly as if it had never stopped.

    Example: `clearctl resume work_dirs/quickstart/20260101-120000-seed0`
    """
    share_among(nproc)
    from clearctl.cli.progress import Display

    with importing():
        from clearctl.engine.run.resume import resume as run_on

    with Display(output) as display:
        result = run_on(run, device=device, accept_changes=accept_changes, listener=display.show)
    print_result(result, json)
