"""Open image files, only with the decoders that are safe to run on untrusted files.

Pillow chooses a decoder by a file's first bytes, not by its name, and one of its decoders hands PostScript to
Ghostscript, which runs the program in the file. FORMATS leaves out such decoders.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from clearctl.regular import open_regular, what_it_is_instead

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


@contextmanager
def open_image(source: Path | BinaryIO) -> Iterator[Image.Image]:
    """The image in a file, not decoded yet; the file is closed when the context exits.

    Raises OSError if it is not a regular file, UnidentifiedImageError if its format is not in FORMATS. Pillow raises
    exceptions of many kinds while it opens and decodes a damaged image: OSError, SyntaxError, ValueError, struct.error.
    """
    file = open_regular(source) if isinstance(source, Path) else source
    with file:
        try:
            image = Image.open(file, formats=FORMATS)
        except UnidentifiedImageError:
            file.seek(0)
            raise UnidentifiedImageError(_unidentified(file.read(64))) from None
        with image:
            yield image


def _unidentified(beginning: bytes) -> str:
    if not beginning:
        return "the file is empty"
    found = what_it_is_instead(beginning) or f"it begins with {beginning[:12]!r}"
    return f"not a {', '.join(FORMATS[:-1])} or {FORMATS[-1]} image: {found}"
