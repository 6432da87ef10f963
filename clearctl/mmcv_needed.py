"""What is said where mmcv is needed and cannot be imported: pip cannot build it by itself, so it may be missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from clearctl.errors import CapabilityError
from clearctl.standins import import_less

SUPPORTED = "1.7"
FIX = "run `clearctl doctor --fix`, which builds and installs it"
OPENCV = (
    "install the system's library (Debian, Ubuntu: apt install libgl1 libglib2.0-0), or without root:"
    " pip uninstall opencv-python, then pip install opencv-python-headless"
)


@contextmanager
def needing_mmcv() -> Iterator[None]:
    """Around each import of mmcv or mmcls. Raises CapabilityError if mmcv is missing or of another version.

    It does so too where OpenCV, which mmcv imports, lacks a library of the system. Other errors pass as they are.
    """
    import_less()
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
