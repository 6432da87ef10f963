"""Image files of every kind that Pillow has to convert, for the tests of the stores.

A plugin of pytest, since fixtures in a conftest.py there would hide the one above. PYTEST_DONT_REWRITE
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clearctl.data.cache.files import ImageFiles


def write_photos(root: Path, count: int = 9, seed: int = 0) -> ImageFiles:
    """JPEGs of several sizes under `root`, in two buckets."""
    generator = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        size = (40 + 7 * (number % 3), 52 + 5 * (number % 4), 3)
        path = f"labeled_images/{number % 2}/a class/{number}.jpg"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, size, dtype=np.uint8)).save(root / path, quality=90)
        paths.append(path)
    return ImageFiles(root, tuple(paths), tuple(str(number % 2) for number in range(count)))


@pytest.fixture
def photos(tmp_path: Path) -> ImageFiles:
    return write_photos(tmp_path / "clear")


@pytest.fixture(scope="session")
def odd_photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    """Grey, palette, CMYK, 16-bit, transparent and bilevel images beside plain ones; not to be changed."""
    root = tmp_path_factory.mktemp("odd")
    pixels = np.random.default_rng(1).integers(0, 256, (44, 57, 3), dtype=np.uint8)
    plain = Image.fromarray(pixels)
    images = {
        "plain.jpg": plain,
        "grey.jpg": plain.convert("L"),
        "palette.png": plain.convert("P"),
        "cmyk.jpg": plain.convert("CMYK"),
        "sixteen.png": Image.fromarray(pixels[..., 0].astype(np.uint16) * 257),
        "alpha.png": Image.fromarray(np.dstack([pixels, pixels[..., :1]])),
        "bilevel.png": plain.convert("1"),
        "large.jpg": plain.resize((90, 61)),
    }
    for name, image in images.items():
        image.save(root / name)
    modes = {Image.open(root / name).mode for name in images}
    assert modes == {"RGB", "L", "P", "CMYK", "I;16", "RGBA", "1"}
    return ImageFiles(root, tuple(images), ("0",) * len(images))
