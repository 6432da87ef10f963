"""Weights fetched from the network: how long is waited, and what can be done where they do not come."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from clearctl.errors import CapabilityError, ClearctlError
from clearctl.wording import in_one_line

TIMEOUT_S = 20.0


@contextmanager
def fetching(weights: str, remedy: str) -> Iterator[None]:
    """Within, whatever a library raises as it fetches `weights` is a CapabilityError that ends in the `remedy`."""
    try:
        yield
    except ClearctlError:
        raise
    except Exception as error:
        raise CapabilityError(
            f"{weights} cannot be fetched: {in_one_line(error)}\n{remedy} (--weights none: random)"
        ) from None


@contextmanager
def timeout() -> Iterator[None]:
    """torch.hub waits for ever, as machines behind a firewall would otherwise."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
