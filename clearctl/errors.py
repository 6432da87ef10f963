"""The exceptions of clearctl, and the exit code of the command line for each.

ClearctlError (1: a bug in clearctl)
├── UsageError        2   an invalid argument
├── ConfigError       3   an invalid config
├── DatasetError      4   an invalid or incomplete dataset folder
├── RunError          5   a run folder or checkpoint that cannot be used or written
└── CapabilityError   6   something that this machine lacks: a device, a network, an optional package

Every message is one or two lines: what is wrong, where, what was found, what was expected, and what to do.
"""


class ClearctlError(Exception):
    """Base class of all errors that clearctl raises on purpose."""

    exit_code = 1


class UsageError(ClearctlError):
    """An invalid argument."""

    exit_code = 2


class ConfigError(ClearctlError):
    """An invalid config; the message lists every error, one per line."""

    exit_code = 3


class DatasetError(ClearctlError):
    """An invalid or incomplete dataset folder."""

    exit_code = 4


class RunError(ClearctlError):
    """A run folder or checkpoint that cannot be used or written."""

    exit_code = 5


class CapabilityError(ClearctlError):
    """Something that this machine lacks: a device, a network, an optional package."""

    exit_code = 6


class Stopped(KeyboardInterrupt):  # noqa: N818 not an error
    """A run stopped cleanly after a signal; the message says how to resume it."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum  # the convention of shells: 130 for Ctrl-C, 143 for SIGTERM
