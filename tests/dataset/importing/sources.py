"""Folders of photographs as people have them: small real JPEGs with EXIF, each with other pixels."""

import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

_MAKE, _ORIENTATION, _EXIF_IFD, _DATE_TIME_ORIGINAL = 0x010F, 0x0112, 0x8769, 0x9003


def photo(
    file: Path,
    taken: datetime | str | None = None,
    *,
    content: str | None = None,
    size_px: int = 16,
    orientation: int | None = None,
) -> Path:
    """A JPEG (or what the suffix says) whose pixels follow from `content`, by default its path; EXIF has its date."""
    generator = np.random.default_rng(zlib.crc32((content or str(file)).encode(errors="surrogatepass")))
    image = Image.fromarray(generator.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8))
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if taken is not None:
        exif[_MAKE] = "a camera"  # without a tag of the first directory some formats of Pillow's write none
        text = taken if isinstance(taken, str) else taken.strftime("%Y:%m:%d %H:%M:%S")
        exif.get_ifd(_EXIF_IFD)[_DATE_TIME_ORIGINAL] = text
    if orientation is not None:
        exif[_ORIENTATION] = orientation
    image.save(file, exif=exif)
    return file


def dated_photos(root: Path, classes: tuple[str, ...] = ("cat", "dog"), years: int = 3, each: int = 4) -> Path:
    """class/image, `each` a class and year from 2004 on, dated by EXIF; a class and a year after another in name."""
    for number, name in enumerate(classes):
        for year in range(years):
            for place in range(each):
                taken = datetime(2004 + year, 1 + place % 12, 1 + number, 12)
                photo(root / name / f"DSC_{year}{place:03d}.jpg", taken)
    return root
