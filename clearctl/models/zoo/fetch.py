"""Downloads of weights: timeouts, and what to do if a download fails."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from clearctl.errors import CapabilityError, ClearctlError
from clearctl.wording import in_one_line

TIMEOUT_S = 20.0


@contextmanager
def fetching(weights: str, remedy: str) -> Iterator[None]:
    """A context in which errors of a library that downloads `weights` become a CapabilityError with the `remedy`."""
    try:
        yield
    except ClearctlError:
        raise
    except Exception as error:
        raise CapabilityError(
            f"{weights} cannot be downloaded: {in_one_line(error)}\n{remedy} (--weights none: random)"
        ) from None


@contextmanager
def timeout() -> Iterator[None]:
    """A context with a timeout for torch.hub, which would wait forever behind a firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
