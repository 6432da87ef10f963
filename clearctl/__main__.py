"""The console script, and `python -m clearctl`."""

import os
import signal
import sys
import time

USAGE = 2
GRACE_S = 60.0


def main() -> None:
    """Run the command line; with several processes only the first one prints, except errors."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until a command can report it. Other processes than the first keep this handler: they end at once, even while
        # they wait for each other in torch's C++ code, where no Python exception is raised.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from clearctl.cli import app, completion
    from clearctl.cli.console import report_full_output
    from clearctl.cli.streams import is_full_output, silence_output, write_any_character
    from clearctl.distributed import world

    write_any_character()
    if not world.is_first():
        silence_output()
    try:
        if completion.VARIABLE in os.environ:
            completion.answer(app)
        app()
    except OSError as error:
        if not is_full_output(error):
            raise
        sys.exit(report_full_output(error))
    except SystemExit as ended:
        if ended.code == USAGE and not world.is_first():
            # torchrun ends all processes when one has ended. Give the first one, which may be slower, time to report
            # the error; it then ends this one too, unless the command line is wrong on this machine only.
            time.sleep(GRACE_S)
        raise


if __name__ == "__main__":
    main()
