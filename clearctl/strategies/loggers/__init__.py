"""The loggers that a config names. Your own logger may derive from `RunLogger`."""

from clearctl.strategies.loggers.run_logger import RunLogger

__all__ = ["RunLogger"]
