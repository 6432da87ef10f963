"""Silences libraries that log and warn while they build a model."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """A context in which `logger` (`root`: the root logger) logs errors only, and warnings are silenced."""
    of_library = logging.getLogger(None if logger == "root" else logger)
    level = of_library.level
    of_library.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        of_library.setLevel(level)
