"""The command line: each command parses, makes one library call and prints. Only here are typer and rich imported.

No command module imports torch, mmcv or Avalanche at its top, so that `--help` answers at once.
"""

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from clearctl.cli import completion
from clearctl.cli.commands import Commands
from clearctl.cli.config import config
from clearctl.cli.console import Quiet, Verbose, ending_by_errors, output, set_output
from clearctl.cli.demo import demo
from clearctl.cli.doctor import doctor
from clearctl.cli.download import download
from clearctl.cli.evaluate import evaluate
from clearctl.cli.export import export
from clearctl.cli.extract import extract_features
from clearctl.cli.fewshot import make_fewshot
from clearctl.cli.importing import import_
from clearctl.cli.launch import refuse_if_shared
from clearctl.cli.list import list_
from clearctl.cli.predict import predict
from clearctl.cli.prepare import prepare_avalanche
from clearctl.cli.rebuild import rebuild_by_metadata
from clearctl.cli.report import report
from clearctl.cli.resume import resume
from clearctl.cli.sweep import sweep
from clearctl.cli.train import train
from clearctl.cli.verify import verify
from clearctl.version import __version__

app = Commands(name="clearctl", add_completion=False, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clearctl {__version__}")
        raise typer.Exit


def _print_help(context: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(context.get_help(), color=context.color)
        raise typer.Exit


# Typer's own --help of the group has no default, which costs an import of pydantic before any command's help.
@app.callback(add_help_option=False)
@ending_by_errors
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
    install_completion: Annotated[
        bool,
        typer.Option(
            "--install-completion",
            callback=ending_by_errors(completion.install),
            is_eager=True,
            help="Let your shell complete commands, options, configs and run folders.",
        ),
    ] = False,
    show_completion: Annotated[
        bool,
        typer.Option(
            "--show-completion",
            callback=ending_by_errors(completion.show),
            is_eager=True,
            help="Print the completion script, and exit.",
        ),
    ] = False,
    help_: Annotated[
        bool, typer.Option("-h", "--help", callback=_print_help, is_eager=True, help="Show this message and exit.")
    ] = False,
) -> None:
    """Prepare, train, evaluate and report on the CLEAR continual-learning benchmark.

    Start with `clearctl demo`.
    """
    output.verbose = output.quiet = False
    output.context = context
    set_output(verbose, quiet)
    refuse_if_shared(context.invoked_subcommand)


# In the groups of the help page, and in the order of its lines.
PANELS: Mapping[str, Mapping[str, Callable[..., None]]] = {
    "Start here": {"demo": demo, "doctor": doctor},
    "Dataset": {
        "download": download,
        "import": import_,
        "prepare-avalanche": prepare_avalanche,
        "make-fewshot": make_fewshot,
        "rebuild-by-metadata": rebuild_by_metadata,
        "extract-features": extract_features,
        "verify": verify,
    },
    "Experiments": {
        "train": train,
        "resume": resume,
        "eval": evaluate,
        "predict": predict,
        "export": export,
        "report": report,
        "sweep": sweep,
    },
    "Configs": {"list": list_},
}
for panel, commands in PANELS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=panel)(command)
app.add_typer(config, rich_help_panel="Configs")
