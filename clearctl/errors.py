"""What clearctl raises on purpose, and the exit code that the command line gives each.

ClearctlError (1: a fault in clearctl itself)
├── UsageError        2   an argument that makes no sense
├── ConfigError       3   a config file that cannot be run as it stands
├── DatasetError      4   a dataset folder that is not what it should be
├── RunError          5   a run folder or checkpoint that cannot be used or written
└── CapabilityError   6   something this machine lacks: a device, a network, an optional package

Every message is one or two lines: what is wrong, where, what was found, and what to do about it.
"""


class ClearctlError(Exception):
    """Base of all errors that clearctl raises on purpose."""

    exit_code = 1


class UsageError(ClearctlError):
    """An argument that makes no sense."""

    exit_code = 2


class ConfigError(ClearctlError):
    """A config that cannot be run as it stands; the message lists every fault, one a line."""

    exit_code = 3


class DatasetError(ClearctlError):
    """A dataset folder that is not what it should be."""

    exit_code = 4


class RunError(ClearctlError):
    """A run folder or checkpoint that cannot be used or written."""

    exit_code = 5


class CapabilityError(ClearctlError):
    """Something this machine lacks: a device, a network, an optional package."""

    exit_code = 6


class Stopped(KeyboardInterrupt):  # noqa: N818 it is no error
    """A signal asked a run to end, and it has ended cleanly; the message says how to continue."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signum  # as shells have it: 130 for Ctrl-C, 143 for SIGTERM
