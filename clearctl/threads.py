"""The number of torch's threads. Sums are split among them, so it changes the last bits of results."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clearctl.progress import Listener, Message


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """A context in which torch uses `number` threads; restores the previous number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_threads(number: int, when: str, listener: Listener) -> None:
    """Set torch's threads to the `number` it had `when` the resumed work began, and report a change."""
    now = torch.get_num_threads()
    if number != now:
        listener(Message(f"torch uses {number} threads, as {when}, instead of {now}"))
        torch.set_num_threads(number)
