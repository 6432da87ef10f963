"""The command line: each command parses, makes one library call and prints. Only here are typer and rich imported.

No command module imports torch, mmcv or Avalanche at its top, so that `--help` answers at once.
"""

from typing import Annotated

import typer

from clearctl.cli.config import config
from clearctl.cli.console import output, reporting_errors, silence_libraries
from clearctl.cli.demo import demo
from clearctl.cli.doctor import doctor
from clearctl.cli.download import download
from clearctl.cli.evaluate import evaluate
from clearctl.cli.extract import extract_features
from clearctl.cli.fewshot import make_fewshot
from clearctl.cli.launch import refuse_if_shared
from clearctl.cli.prepare import prepare_avalanche
from clearctl.cli.rebuild import rebuild_by_metadata
from clearctl.cli.report import report
from clearctl.cli.resume import resume
from clearctl.cli.sweep import sweep
from clearctl.cli.train import train
from clearctl.cli.verify import verify
from clearctl.version import __version__

app = typer.Typer(
    name="clearctl",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


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
@reporting_errors
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only results, warnings and errors.")] = False,
    help_: Annotated[
        bool, typer.Option("-h", "--help", callback=_print_help, is_eager=True, help="Show this message and exit.")
    ] = False,
) -> None:
    """Prepare, train, evaluate and report on the CLEAR continual-learning benchmark.

    Start with `clearctl demo`.
    """
    output.verbose, output.quiet = verbose, quiet
    if not verbose:
        silence_libraries()
    refuse_if_shared(context.invoked_subcommand)


app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("download")(download)
app.command("prepare-avalanche")(prepare_avalanche)
app.command("make-fewshot")(make_fewshot)
app.command("rebuild-by-metadata")(rebuild_by_metadata)
app.command("extract-features")(extract_features)
app.command("verify")(verify)
app.command("train")(train)
app.command("resume")(resume)
app.command("eval")(evaluate)
app.command("report")(report)
app.command("sweep")(sweep)
app.add_typer(config)
