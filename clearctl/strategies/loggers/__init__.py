"""The loggers that a config names. A logger of your own may derive from `RunLogger`."""

from clearctl.strategies.loggers.run_logger import RunLogger

__all__ = ["RunLogger"]
