"""A dataset in CLEAR's public layout, generated in seconds, offline, from images that scikit-learn ships.

The images are real: the classes "zero".."nine" are scikit-learn's 1,797 handwritten digits (8 x 8 pixels,
`load_digits`), each used exactly once and spread evenly over the buckets "1".."10", which are those of CLEAR-10; the
class "BACKGROUND" is 16 crops per bucket of its two photographs (`load_sample_image`), no two of them overlapping. All
are saved as 32 x 32 RGB JPEGs. As in CLEAR-10, "BACKGROUND" is the first class and the last in labeled_metadata.json.

The dates are invented (bucket "1" is 2005, bucket "10" is 2014), and so is the drift of appearance over the years,
which the module `drift` describes.

It has the same bytes each time, for the same versions of NumPy and Pillow.
"""

import calendar
import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import atomic, layout
from clearctl.demo.drift import PixelArray, appearance_at, jittered, random_time, render
from clearctl.errors import DatasetError
from clearctl.jsontext import json_text

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BACKGROUND = "BACKGROUND"
CLASS_NAMES = (BACKGROUND, *DIGIT_NAMES)
METADATA_ORDER = (*DIGIT_NAMES, BACKGROUND)
NUM_BUCKETS = 10
YEAR_OF_BUCKET_0 = 2004
CROPS_PER_BUCKET = 16
SEED = 0  # settles which image goes to which bucket, the jitter and the dates
VERSION = 2  # 1 had eleven buckets, 0 to 10

_TILE = 48  # 13 x 8 tiles in each 640 x 427 photograph: 208, of which 160 are used
_FIRST_ID = 4_000_000_000
_ID_STEP = 5_000_000
_DAY = 86_400
# The content of demo.json: enough to know that a folder would come out the same again.
_STAMP = {"seed": SEED, "version": VERSION}


@dataclass(frozen=True)
class Photo:
    """One of scikit-learn's photographs: its file name and the credit that its licence (CC BY 2.0) requires."""

    file_name: str
    credit: str


PHOTOS = (
    Photo("china.jpg", "flickr.com/photos/danielbuechele/6061409035"),
    Photo("flower.jpg", "flickr.com/photos/vultilion/6056698931"),
)


@dataclass(frozen=True)
class SourceImage:
    """An image before the drift, and its origin.

    `pixels` is uint8 [8, 8] for a digit (0: paper, 255: ink), [48, 48, 3] RGB for a crop of a photograph.
    """

    class_name: str
    pixels: PixelArray
    title: str
    description: str
    tags: str
    license_name: str


def make_dataset(root: Path) -> None:
    """Write the dataset of this module to `root`: raw, so without a training_folder.

    `root` must not exist or be an empty folder; nothing is seen there until all of it is. Where it holds this
    dataset already (prepared or not) nothing is done. Raises DatasetError if `root` holds anything else or
    cannot be written.
    """
    root = root.resolve()
    if _is_made(root):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        atomic.remove_stale(root.parent, root.name)
        # Beside the target, so that the rename at the end stays on one file system and is atomic.
        staging = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.", suffix=".tmp"))
        try:
            _build(staging)
            _publish(staging, root)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"the demo dataset cannot be written to {root}: {error.strerror or error}\n"
            "choose a folder on a writable disk with some 10 MB free"
        ) from None


def _is_made(root: Path) -> bool:
    """Whether `root` holds the dataset; False if it may be written, else raises DatasetError."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise _refusal(root, "is a file")
    stamp = layout.demo_stamp_file(root)
    if not stamp.is_file():
        if any(root.iterdir()):
            raise _refusal(root, "contains something other than the demo dataset")
        return False
    found = layout.read_json(stamp)
    if isinstance(found, dict) and isinstance(found.get("version"), int) and found["version"] < VERSION:
        raise _refusal(root, "contains the demo dataset of an earlier clearctl")
    if found != _STAMP:
        raise _refusal(root, f"contains a demo dataset of {json.dumps(found)}, not {json.dumps(_STAMP)}")
    layout.require_clear(root)
    return True


def _refusal(root: Path, found: str) -> DatasetError:
    return DatasetError(
        f"cannot create the demo dataset at {root}: it {found}\n"
        "choose a folder that is empty or does not exist, or delete this one first"
    )


def _publish(staging: Path, root: Path) -> None:
    """Rename the finished folder `staging` to `root`."""
    staging.chmod(atomic.permissions(0o777))  # mkdtemp makes folders private
    try:
        staging.replace(root)
    except OSError:
        # Another process may have made the same dataset in the meantime: then there is nothing left to do.
        if not _is_made(root):
            raise


def _build(root: Path) -> None:
    """Write the whole dataset into the existing empty folder `root`."""
    rng = np.random.default_rng(SEED)
    buckets = _distribute(_digits(rng), _crops(rng))
    paths: dict[str, dict[str, str]] = {}
    serial = 0
    for number, sources in enumerate(buckets, 1):
        order = rng.permutation(len(sources))
        shots = [_PhotoSlot(number, place, len(sources), serial + place) for place in range(len(sources))]
        records = [_write_image(root, sources[i], shot, rng) for i, shot in zip(order, shots, strict=True)]
        paths[str(number)] = _write_records(root, str(number), records)
        serial += len(sources)
    layout.class_names_file(root).write_bytes("\n".join(CLASS_NAMES).encode())
    _write_json(layout.labeled_metadata_file(root), paths)
    _write_json(layout.demo_stamp_file(root), _STAMP)


# --- what the images are of


def _digits(rng: np.random.Generator) -> list[SourceImage]:
    """All 1,797 digits, class after class, shuffled within each."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    ink = (bunch.images * (255 / 16)).round().astype(np.uint8)  # [1797, 8, 8]
    order = rng.permutation(len(ink))
    order = order[np.argsort(bunch.target[order], kind="stable")]
    return [
        SourceImage(
            class_name=DIGIT_NAMES[bunch.target[i]],
            pixels=ink[i],
            title=f"A handwritten {DIGIT_NAMES[bunch.target[i]]}",
            description=f"Image {i} of scikit-learn load_digits (UCI Optical Recognition of Handwritten "
            "Digits, E. Alpaydin and C. Kaynak); dates and colours were made up by clearctl",
            tags=f"digit,handwriting,{DIGIT_NAMES[bunch.target[i]]}",
            license_name="BSD 3-Clause, as distributed with scikit-learn (load_digits)",
        )
        for i in order
    ]


def _crops(rng: np.random.Generator) -> list[SourceImage]:
    """160 disjoint 48 x 48 crops of the two photographs, shuffled."""
    from sklearn.datasets import load_sample_image

    crops = [crop for photo in PHOTOS for crop in _tiles(photo, load_sample_image(photo.file_name))]
    return [crops[i] for i in rng.permutation(len(crops))[: NUM_BUCKETS * CROPS_PER_BUCKET]]


def _tiles(photo: Photo, pixels: PixelArray) -> list[SourceImage]:
    """The tiles of a photograph, uint8 [427, 640, 3], on a grid without overlap; the edges are left over."""
    height, width = pixels.shape[:2]
    corners = [(x, y) for y in range(0, height - _TILE + 1, _TILE) for x in range(0, width - _TILE + 1, _TILE)]
    return [
        SourceImage(
            class_name=BACKGROUND,
            pixels=pixels[y : y + _TILE, x : x + _TILE],
            title=f"A crop of {photo.file_name}",
            description=f"Pixels ({x}, {y}) to ({x + _TILE}, {y + _TILE}) of {photo.file_name} of "
            f"scikit-learn load_sample_images (photograph: {photo.credit}); "
            "dates and colours were made up by clearctl",
            tags=f"photograph,{Path(photo.file_name).stem}",
            license_name="CC BY 2.0, as distributed with scikit-learn (load_sample_images)",
        )
        for x, y in corners
    ]


def _distribute(digits: list[SourceImage], crops: list[SourceImage]) -> list[list[SourceImage]]:
    """The sources of each bucket. Dealt like cards, so that classes and buckets come out even."""
    return [digits[number::NUM_BUCKETS] + crops[number::NUM_BUCKETS] for number in range(NUM_BUCKETS)]


# --- how they are filed


@dataclass(frozen=True)
class _PhotoSlot:
    """The image taken as number `place` of `count` in its bucket, and as number `serial` of the dataset."""

    bucket: int
    place: int
    count: int
    serial: int


@dataclass(frozen=True)
class _FiledRecord:
    """An image that was written, and what its class's JSON file says of it."""

    class_name: str
    record: dict[str, str]


def _write_image(root: Path, source: SourceImage, shot: _PhotoSlot, rng: np.random.Generator) -> _FiledRecord:
    """Render and save one image."""
    # Steps and a random part below a step: unique, 10 or 11 digits, and growing with time as Flickr's do.
    name = str(_FIRST_ID + shot.serial * _ID_STEP + int(rng.integers(_ID_STEP)))
    relative = f"labeled_images/{shot.bucket}/{source.class_name}/{name}.jpg"
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    look = jittered(appearance_at(random_time((shot.bucket - 1) / (NUM_BUCKETS - 1), rng)), rng)
    render(source.pixels, look, rng).save(path, format="JPEG", quality=90, subsampling=0)
    taken = _date_taken(shot, rng)
    uploaded = calendar.timegm(taken.timetuple()) + int(rng.integers(2 * _DAY, 120 * _DAY))
    record = {
        "ID": name,
        "IMG_PATH": relative,
        "DATE_TAKEN": f"{taken:%Y-%m-%d %H:%M:%S}.0",
        "DATE_UPLOADED": str(uploaded),
        "USER_ID": "clearctl-demo@N00",
        "TITLE": source.title,
        "DESCRIPTION": source.description,
        "USER_TAGS": source.tags,
        "LICENSE_NAME": source.license_name,
        "EXT": "jpg",
    }
    return _FiledRecord(source.class_name, record)


def _date_taken(shot: _PhotoSlot, rng: np.random.Generator) -> datetime:
    """A moment in the bucket's year; the images of a bucket are spread over it in the order of their ids."""
    start = datetime(YEAR_OF_BUCKET_0 + shot.bucket, 1, 1)
    length = (datetime(start.year + 1, 1, 1) - start).total_seconds()
    return start + timedelta(seconds=int(length * (shot.place + rng.random()) / shot.count))


def _write_records(root: Path, bucket: str, filed: list[_FiledRecord]) -> dict[str, str]:
    """Write a bucket's JSON files, one a class; return their paths relative to `root` by class."""
    paths = {}
    for name in METADATA_ORDER:
        records = {item.record["ID"]: item.record for item in filed if item.class_name == name}
        paths[name] = f"labeled_metadata/{bucket}/{name}.json"
        _write_json(root / paths[name], records)
    return paths


def _write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON; whole or not does not matter here, since the folder is renamed as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_text(value).encode())
