"""The error for a missing mmcv: pip alone cannot build it, so it may not be installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from clearctl.errors import CapabilityError
from clearctl.standins import defer_imports

SUPPORTED = "1.7"
FIX = "run `clearctl doctor --fix`, which builds and installs it"
OPENCV = (
    "install the system's library (Debian, Ubuntu: apt install libgl1 libglib2.0-0), or without root:"
    " pip uninstall opencv-python, then pip install opencv-python-headless"
)


@contextmanager
def needing_mmcv() -> Iterator[None]:
    """Context for imports of mmcv or mmcls. Raises CapabilityError if mmcv is missing or has another version.

    Also raises it if OpenCV, which mmcv imports, lacks a system library. Other errors pass unchanged.
    """
    defer_imports()
    try:
        yield
    except (ImportError, AssertionError) as error:  # mmcls asserts the version
        if "cannot open shared object file" in str(error):
            raise CapabilityError(f"OpenCV, which mmcv imports, cannot be loaded: {error}\n{OPENCV}") from error
        found = _installed()
        if found is not None and found.startswith(f"{SUPPORTED}."):
            raise
        state = "is not installed" if found is None else f"{found} is installed, expected {SUPPORTED}.2"
        raise CapabilityError(f"mmcv {state}: it reads configs and builds networks\n{FIX}") from error


def _installed() -> str | None:
    try:
        return version("mmcv")
    except PackageNotFoundError:
        return None
