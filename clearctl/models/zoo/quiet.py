"""Libraries that log and warn as they build a model, kept quiet."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Within, `logger` (`root`: the one of all) passes errors on only, and nothing is warned of."""
    of_library = logging.getLogger(None if logger == "root" else logger)
    level = of_library.level
    of_library.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        of_library.setLevel(level)
