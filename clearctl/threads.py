"""How many threads torch computes with: sums are split among them, so that their number settles the last bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from clearctl.progress import Listener, Message


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Within, torch has `number` threads; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_threads(number: int, when: str, listener: Listener) -> None:
    """Give torch the `number` of threads that it had `when` work began that is now resumed, and report a change."""
    now = torch.get_num_threads()
    if number != now:
        listener(Message(f"torch had {now} threads here and {number} {when}: it gets {number}"))
        torch.set_num_threads(number)
