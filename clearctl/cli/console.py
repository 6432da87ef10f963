"""The output of commands: results on stdout, messages and progress on stderr, errors as one or two lines."""

import atexit
import functools
import gc
import inspect
import logging
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from clearctl.cli.streams import MessageConsole, ResultConsole, is_full_output, write_nowhere
from clearctl.distributed import world
from clearctl.errors import CapabilityError, ClearctlError, ConfigError, Stopped, UsageError
from clearctl.jsontext import json_text
from clearctl.shortage import shortage
from clearctl.wording import counted

INTERRUPTED = 130
_ERASE_LINE = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))
INTERRUPTION = "interrupted: finished parts are on disk; run the same command again"
REPORT = "this is a fault in clearctl: please report it with what `--verbose` prints (`clearctl --verbose COMMAND ...`)"
OWN_CODE = "correct it, and run the command again; `clearctl --verbose COMMAND ...` prints the traceback"


@dataclass
class Output:
    """The output of a command. `verbose` shows tracebacks, `quiet` only results, warnings and errors."""

    verbose: bool = False
    quiet: bool = False
    context: Any = None  # Typer's, of the command that runs
    stdout: Console = field(
        default_factory=lambda: ResultConsole(soft_wrap=True, highlight=False, markup=False, emoji=False)
    )
    stderr: Console = field(default_factory=lambda: MessageConsole(stderr=True, soft_wrap=True, highlight=False))

    @property
    def live(self) -> bool:
        """Whether lines on stderr can be erased and drawn again: on a terminal, unless it is TERM=dumb."""
        return self.stderr.is_terminal and not self.stderr.is_dumb_terminal and not self.quiet

    @property
    def bold(self) -> bool:
        """Whether stdout shows bold: on a terminal, unless it is TERM=dumb."""
        return self.stdout.is_terminal and not self.stdout.is_dumb_terminal

    def message(self, text: str, warning: bool = False) -> None:
        """A line on stderr."""
        if warning:
            self.stderr.print(Text.assemble(("warning: ", "yellow"), text))
        elif not self.quiet:
            self.stderr.print(Text(text))

    def json(self, value: Any) -> None:
        """One JSON object on stdout; JSON has no NaN, so NaN is null."""
        sys.stdout.write(json_text(value))
        sys.stdout.flush()

    def written(self, written: int, unchanged: int, dry_run: bool) -> None:
        """Print the number of files that a command wrote, on stdout."""
        if not written:
            self.stdout.print(
                "nothing to do: "
                + ("the file is" if unchanged == 1 else f"all {unchanged:,} files are")
                + " up to date"
            )
        else:
            verb = "would be written" if dry_run else "written"
            self.stdout.print(f"{counted(written, 'file')} {verb}, {unchanged:,} up to date")

    def next_command(self, *words: object, first: str = "next") -> None:
        """Print the next command to run, unless quiet: the `words` after `clearctl`, to be copied as they are."""
        if not self.quiet:
            self.stdout.print(Text(f"{first}: clearctl {shlex.join(map(str, words))}"), soft_wrap=True)

    def error(self, text: str, note: str = "") -> None:
        """Print an error and, in a line below, what to do, on stderr."""
        self.stderr.print(Text.assemble(("error: ", "bold red"), text + (f"\n{note}" if note else "")))

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Show a line while libraries are imported, on a terminal; it is then erased."""
        if not (self.live and world.is_first()) or "avalanche" in sys.modules:
            yield
            return
        self.stderr.print(Text("loading PyTorch and Avalanche (a few seconds)", style="dim"), end="")
        try:
            yield
        finally:
            self.stderr.control(_ERASE_LINE)

    def fail(self, error: BaseException, exit_code: int, note: str = "") -> NoReturn:
        """Print `error` to stderr and end with `exit_code`; of several processes the first that fails prints it."""
        if not world.is_first_to_report():
            raise typer.Exit(exit_code)
        if not world.is_first():
            sys.stderr = sys.__stderr__
            if self.stderr.is_terminal:
                self.stderr.print()  # below the bars of the first
        if self.verbose:
            traceback.print_exception(error, file=sys.stderr)
        text = str(error) or type(error).__name__
        if exit_code == 1:
            text = f"{type(error).__name__}: {text}"
        self.error(text, note)
        raise typer.Exit(exit_code)


output = Output()

Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show tracebacks.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Only results, warnings and errors.")]


def set_output(verbose: bool, quiet: bool) -> None:
    """Apply -v and -q, which may stand before the command and after it."""
    output.verbose |= verbose
    output.quiet |= quiet
    if not output.verbose:
        silence_libraries()


def silence_libraries() -> None:
    """Keep the warnings that libraries print at import off the terminal; --verbose shows them."""
    for package in ("mmcv", "mmcls", "avalanche", "torch", "torchvision", "wandb", "mlflow"):
        warnings.filterwarnings("ignore", module=rf"{package}(\.|$)")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)


@contextmanager
def importing() -> Iterator[None]:
    """Import libraries without the garbage collector, which would scan their objects often, though all of them stay.

    That saves a sixth of the time; later collections skip the objects too. Ctrl-C ends the process at once: NumPy and
    Matplotlib catch a KeyboardInterrupt during an import, and continue.
    """
    gc.disable()
    is_main = threading.current_thread() is threading.main_thread()
    is_default = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_default:
        signal.signal(signal.SIGINT, _exit_quietly)
    try:
        with output.loading():
            yield
    finally:
        if is_default:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # else nanobind warns at the end that its types are alive


def _exit_quietly(number: int, frame: FrameType | None) -> NoReturn:
    output.stderr.control(_ERASE_LINE)
    output.stderr.print(INTERRUPTION)
    os._exit(INTERRUPTED)


def report_full_output(error: OSError) -> int:
    """Report that stdout cannot be written, and return the exit code."""
    write_nowhere(sys.stdout)  # else the interpreter tries to write the rest again at the end
    output.error(f"standard output cannot be written: {error.strerror}")
    return CapabilityError.exit_code


def _fail_unexpected(error: Exception) -> NoReturn:
    """End the command for an exception that is not clearctl's: a shortage, an error in the user's code, or a fault."""
    from clearctl.config.own import place_in_own_code

    if lacking := shortage(error):
        lacking.__cause__ = error  # for --verbose
        output.fail(lacking, lacking.exit_code)
    if place := place_in_own_code(error):
        failed = ConfigError(f"your own code failed: {place}: {type(error).__name__}: {error}")
        failed.__cause__ = error
        output.fail(failed, failed.exit_code, OWN_CODE)
    output.fail(error, 1, REPORT)


def _note(error: ClearctlError) -> str:
    """The line below an error that does not say what to do."""
    if error.exit_code == 1:
        return REPORT
    return hint_of(output.context) if isinstance(error, UsageError) and "\n" not in str(error) else ""


def hint_of(context: Any) -> str:
    """The hint that points to the help of a command; "" outside of one."""
    return "" if context is None else f"try `{context.command_path} --help`"


Command = TypeVar("Command", bound=Callable[..., None])


def reporting_errors(command: Command) -> Command:
    """Make `command` take -v and -q, and end with the exit code and the message of whatever it raises."""

    @functools.wraps(command)
    def run(*arguments: Any, verbose: bool = False, quiet: bool = False, **options: Any) -> None:
        set_output(verbose, quiet)
        ending_by_errors(command)(*arguments, **options)

    signature = inspect.signature(command, eval_str=True)
    added = {"verbose": Verbose, "quiet": Quiet}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in added.items()
    ]
    vars(run)["__signature__"] = signature.replace(parameters=[*signature.parameters.values(), *parameters])
    run.__annotations__ = {**command.__annotations__, **added}
    return run  # type: ignore[return-value]


def ending_by_errors(command: Command) -> Command:
    """Make `command` end with the exit code and the message of whatever it raises; a traceback only if verbose."""

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        if world.is_first() and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(
                signal.SIGINT, signal.default_int_handler
            )  # `__main__` has left it to the system until it can be reported
        try:
            command(*arguments, **options)
            sys.stdout.flush()
        except ClearctlError as error:
            output.fail(error, error.exit_code, _note(error))
        except KeyboardInterrupt as interrupt:
            # The libraries take a second or two to end; another Ctrl-C would only print their traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            code, text = INTERRUPTED, INTERRUPTION
            if isinstance(interrupt, Stopped):
                code, text = interrupt.exit_code, str(interrupt)
            output.stderr.print(Text(text))
            raise typer.Exit(code) from None
        except BrokenPipeError:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except BrokenPipeError:
                    write_nowhere(stream)
            raise typer.Exit(0) from None
        except (typer.Exit, typer.Abort):
            raise
        except (
            SystemExit
        ) as ended:  # raised by the user's own code, such as a plugin: clearctl's commands never raise it
            if ended.code not in (0, None):
                raise
            text = "your own code called sys.exit(0) before the command was done"
            output.fail(ConfigError(text), ConfigError.exit_code)
        except OSError as error:
            if not is_full_output(error):
                _fail_unexpected(error)
            raise typer.Exit(report_full_output(error)) from None
        except Exception as error:
            _fail_unexpected(error)

    return run  # type: ignore[return-value]
