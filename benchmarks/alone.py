"""Each measurement in its own process, one at a time, and the sides of a comparison in turn."""

import functools
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# The modules that every side of a comparison imports; loaded once in the server that measurements are forked from.
# Nothing of clearctl: what it changes in these packages must not reach the plain side.
PRELOADED = ("benchmarks.preload",)


def alone(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of `function` in a new process, which has all packages imported and has used none of them.

    So no measurement inherits another's warm allocator, thread pools or changed classes: clearctl puts its loaders
    into Avalanche's classes, and a plain run in the same process would be sped up too. A process started from the
    shell differs only in having spent seconds on its imports; the part start-up measures those.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_run, function, *args, **kwargs).result()


def in_turns(rounds: int, sides: Mapping[str, Callable[[], T]]) -> dict[str, list[T]]:
    """{side: what it returned in each round}: a, b, c, a, b, c, so that a machine that slows down slows all alike."""
    results: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            results[name].append(side())
    return results


def process(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Callable[[], T]:
    """A side for `in_turns`: `function` alone, with these arguments."""
    return functools.partial(alone, function, *args, **kwargs)


def _run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    # A process of a fork server starts its own children through one too: data loaders would take seconds for each.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        for descriptor in (1, 2):  # off a terminal clearctl's progress is plain lines
            os.dup2(said.fileno(), descriptor)
        try:
            return function(*args, **kwargs)
        except BaseException as error:  # SystemExit too, which is how a command ends
            said.seek(0)
            raise RuntimeError(f"{function.__module__}.{function.__name__}: {error!r}\n{said.read()}") from error
