"""A dataset in CLEAR's public layout, made in seconds, without a network, of images that scikit-learn ships.

What is real: the classes "zero".."nine" are scikit-learn's 1,797 handwritten digits (8 x 8 pixels,
`load_digits`), each used exactly once and spread evenly over the buckets "0".."10"; the class "BACKGROUND" is
16 crops a bucket of its two photographs (`load_sample_image`), no two of them overlapping. All are saved as
32 x 32 RGB JPEGs.

What is made up: the dates (bucket "0" is 2004, bucket "10" is 2014), and a drift of appearance that stands in
for ten years of changing cameras and fashions. It is a function of the time t = bucket / 10:

    t                 0                     0.5                    1
    ink               dark brown            vermilion              pale yellow
    paper             light cream           mid blue               dark navy
    contrast          faded                 ->                     full
    resolution        11 px, scaled up      ->                     32 px
    blur, grain       marked                ->                     none

Luminance turns over half way (dark on light becomes light on dark), where hue alone keeps the ink legible.
The photographs are seen through the same camera, under light of the paper's colour, so that they drift along.
Each image is a little off its bucket's time and colours, and one in twenty has the look of any time at all:
an old camera still in use, a fashion before its day.

So neighbouring buckets look alike and distant ones do not. A small CNN trained on bucket after bucket has
some 0.9 right on held-out images of the bucket it was trained on last, a little less on the neighbours, and
less the further away: after bucket "10", some 0.3 on bucket "0".

The same seed gives the same bytes, for the same versions of NumPy and Pillow.
"""

import calendar
import json
import math
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from clearctl import layout
from clearctl.errors import DatasetError, UsageError

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
BACKGROUND = "BACKGROUND"
CLASS_NAMES = (BACKGROUND, *DIGIT_NAMES)
NUM_BUCKETS = 11
FIRST_YEAR = 2004
IMAGE_SIZE = 32
CROPS_PER_BUCKET = 16
STAMP_NAME = "demo.json"
VERSION = 1

_TILE = 48  # 13 x 8 tiles in each 640 x 427 photograph: 208, of which 176 are used
_FIRST_ID = 4_000_000_000
_ID_STEP = 5_000_000
_DAY = 86_400
_SPREAD = 0.08  # of the times in a bucket, as a standard deviation: just under a bucket
_STRAYS = 0.05  # share of images of any time at all

Pixels: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Photo:
    """One of scikit-learn's photographs: its file name and whom its licence (CC BY 2.0) asks to name."""

    file_name: str
    credit: str


PHOTOS = (
    Photo("china.jpg", "flickr.com/photos/danielbuechele/6061409035"),
    Photo("flower.jpg", "flickr.com/photos/vultilion/6056698931"),
)


@dataclass(frozen=True)
class Look:
    """How the images of a time look. Colours are RGB, shape [3], 0..255.

    `contrast` scales the distance from the mid tone, `resolution` (px) is the width the camera resolves,
    `blur` (px) the sigma of a Gaussian at 32 x 32, `grain` the standard deviation of noise (of 0..255).
    """

    ink: Colour
    paper: Colour
    contrast: float
    resolution: float
    blur: float
    grain: float


@dataclass(frozen=True)
class Source:
    """An image before the drift, and its origin.

    `pixels` is uint8 [8, 8] for a digit (0: paper, 255: ink), [48, 48, 3] RGB for a crop of a photograph.
    """

    class_name: str
    pixels: Pixels
    title: str
    description: str
    tags: str
    license_name: str


_TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
_INKS = ((58, 36, 20), (140, 26, 48), (226, 70, 40), (250, 165, 70), (252, 238, 190))
_PAPERS = ((246, 236, 208), (176, 208, 222), (92, 146, 190), (48, 74, 136), (20, 24, 46))


def look_at(t: float) -> Look:
    """The look of time `t`, 0 (bucket "0") to 1 (bucket "10"), without any jitter."""
    return Look(
        ink=_colour_at(t, _INKS),
        paper=_colour_at(t, _PAPERS),
        contrast=0.72 + 0.28 * t,
        resolution=11 + 21 * t,
        blur=1.0 * (1 - t),
        grain=7.0 * (1 - t),
    )


def make_dataset(root: Path, seed: int = 0) -> None:
    """Write the dataset of this module to `root`: raw, so without a training_folder.

    `root` must not exist or be an empty folder; nothing is seen there until all of it is. Where it holds this
    dataset of the same seed already (prepared or not) nothing is done. `seed` (0 or more) settles which image
    goes to which bucket, the jitter and the dates. Raises DatasetError where `root` holds anything else or
    cannot be written, UsageError for a negative seed.
    """
    if seed < 0:
        raise UsageError(f"the seed of the demo dataset is {seed}: expected 0 or more")
    root = root.resolve()
    if _is_made(root, seed):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the rename at the end stays on one file system and is atomic.
        staging = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}.", suffix=".tmp"))
        try:
            _build(staging, seed)
            _publish(staging, root, seed)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise DatasetError(
            f"the demo dataset cannot be written to {root}: {error.strerror or error}\n"
            "name a folder on a writable disk with some 10 MB free"
        ) from None


def _is_made(root: Path, seed: int) -> bool:
    """Whether `root` holds the dataset of `seed`; False where it may be written, else raises DatasetError."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise _refusal(root, "is a file")
    stamp = root / STAMP_NAME
    if not stamp.is_file():
        if any(root.iterdir()):
            raise _refusal(root, "holds something other than the demo dataset")
        return False
    found = layout.read_json(stamp)
    if found != _stamp(seed):
        raise _refusal(root, f"holds a demo dataset of {json.dumps(found)}, not {json.dumps(_stamp(seed))}")
    layout.require_clear(root)
    return True


def _refusal(root: Path, found: str) -> DatasetError:
    return DatasetError(
        f"the demo dataset cannot be made at {root}: it {found}\n"
        "name a folder that is empty or does not exist, or delete this one first"
    )


def _stamp(seed: int) -> dict[str, int]:
    """What demo.json holds: enough to tell that a folder would come out the same again."""
    return {"seed": seed, "version": VERSION}


def _publish(staging: Path, root: Path, seed: int) -> None:
    """Rename the finished folder `staging` to `root`."""
    # mkdtemp makes folders private; the dataset gets the permissions any new folder would have.
    umask = os.umask(0)
    os.umask(umask)
    staging.chmod(0o777 & ~umask)
    try:
        staging.replace(root)
    except OSError:
        # Another process may have made the same dataset meanwhile: then there is nothing left to do.
        if not _is_made(root, seed):
            raise


def _build(root: Path, seed: int) -> None:
    """Write the whole dataset into the existing empty folder `root`."""
    rng = np.random.default_rng(seed)
    buckets = _deal(_digits(rng), _crops(rng))
    paths: dict[str, dict[str, str]] = {}
    serial = 0
    for number, sources in enumerate(buckets):
        order = rng.permutation(len(sources))
        shots = [_Shot(number, place, len(sources), serial + place) for place in range(len(sources))]
        records = [_write_image(root, sources[i], shot, rng) for i, shot in zip(order, shots, strict=True)]
        paths[str(number)] = _write_records(root, str(number), records)
        serial += len(sources)
    layout.class_names_file(root).write_bytes("\n".join(CLASS_NAMES).encode())
    _write_json(layout.labeled_metadata_file(root), paths)
    _write_json(root / STAMP_NAME, _stamp(seed))


# --- what the images are of


def _digits(rng: np.random.Generator) -> list[Source]:
    """All 1,797 digits, class after class, shuffled within each."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    ink = (bunch.images * (255 / 16)).round().astype(np.uint8)  # [1797, 8, 8]
    order = rng.permutation(len(ink))
    order = order[np.argsort(bunch.target[order], kind="stable")]
    return [
        Source(
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


def _crops(rng: np.random.Generator) -> list[Source]:
    """176 disjoint 48 x 48 crops of the two photographs, shuffled."""
    from sklearn.datasets import load_sample_image

    crops = [crop for photo in PHOTOS for crop in _tiles(photo, load_sample_image(photo.file_name))]
    return [crops[i] for i in rng.permutation(len(crops))[: NUM_BUCKETS * CROPS_PER_BUCKET]]


def _tiles(photo: Photo, pixels: Pixels) -> list[Source]:
    """The tiles of a photograph, uint8 [427, 640, 3], on a grid without overlap; the edges are left over."""
    height, width = pixels.shape[:2]
    corners = [(x, y) for y in range(0, height - _TILE + 1, _TILE) for x in range(0, width - _TILE + 1, _TILE)]
    return [
        Source(
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


def _deal(digits: list[Source], crops: list[Source]) -> list[list[Source]]:
    """The sources of each bucket. Dealt like cards, so that classes and buckets come out even."""
    return [digits[number::NUM_BUCKETS] + crops[number::NUM_BUCKETS] for number in range(NUM_BUCKETS)]


# --- how they look


def _colour_at(t: float, keys: tuple[tuple[int, int, int], ...]) -> Colour:
    """The colour at time `t` between the `keys` of _TIMES."""
    return np.array([np.interp(t, _TIMES, [key[channel] for key in keys]) for channel in range(3)])


def _moment(t: float, rng: np.random.Generator) -> float:
    """The time whose look an image taken at `t` has: a little off, and for some way off."""
    off, stray = t + rng.normal(0, _SPREAD), rng.uniform()
    return float(np.clip(stray if rng.random() < _STRAYS else off, 0, 1))


def _jittered(look: Look, rng: np.random.Generator) -> Look:
    """`look` as one photographer's camera and pen would have it."""
    return replace(
        look,
        ink=np.clip(look.ink + rng.normal(0, 12, 3), 0, 255),
        paper=np.clip(look.paper + rng.normal(0, 12, 3), 0, 255),
        contrast=look.contrast * rng.uniform(0.92, 1.08),
        resolution=look.resolution + rng.uniform(-1, 1),
        blur=look.blur * rng.uniform(0.7, 1.3),
    )


def _render(source: Source, look: Look, rng: np.random.Generator) -> Image.Image:
    """`source` as an RGB image of 32 x 32 px with the given look."""
    picture = _photograph(source.pixels, look) if source.class_name == BACKGROUND else _page(source, look, rng)
    return _expose(picture, look, rng)


def _page(source: Source, look: Look, rng: np.random.Generator) -> Image.Image:
    """A digit written on paper, at a slightly different place, size and angle each time."""
    # The margin keeps the strokes that touch the edge of the 8 x 8 image from ending in a hard line.
    margin = 2
    ink = Image.fromarray(np.pad(source.pixels, margin))
    angle = math.radians(rng.uniform(-7, 7))
    scale = 8 / rng.uniform(25, 29)  # source pixels to a pixel of the page
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    x, y = IMAGE_SIZE / 2 + rng.uniform(-1.5, 1.5, 2)
    centre = ink.width / 2
    affine = (cos, -sin, centre - cos * x + sin * y, sin, cos, centre - sin * x - cos * y)
    coverage = ink.transform((IMAGE_SIZE, IMAGE_SIZE), Image.Transform.AFFINE, affine, Image.Resampling.BICUBIC)
    # Interpolation leaves strokes with soft flanks; a steeper ramp turns them back into strokes.
    opacity = np.clip((np.asarray(coverage)[..., None] / 255 - 0.15) / 0.6, 0, 1)
    return _image(look.paper + (look.ink - look.paper) * opacity)


def _photograph(pixels: Pixels, look: Look) -> Image.Image:
    """A crop of a photograph, uint8 [48, 48, 3], under light of the paper's colour."""
    crop = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return _image(0.7 * np.asarray(crop) + 0.3 * look.paper)


def _expose(picture: Image.Image, look: Look, rng: np.random.Generator) -> Image.Image:
    """`picture` as the camera of the time takes it: resolution, blur, contrast and grain."""
    width = round(look.resolution)
    if width < IMAGE_SIZE:
        small = picture.resize((width, width), Image.Resampling.BOX)
        picture = small.resize(picture.size, Image.Resampling.BICUBIC)
    blurred = picture.filter(ImageFilter.GaussianBlur(look.blur))
    grain = rng.normal(0, 1, (IMAGE_SIZE, IMAGE_SIZE, 1)) * look.grain
    return _image(128 + (np.asarray(blurred) - 128.0) * look.contrast + grain)


def _image(values: npt.NDArray[np.float64]) -> Image.Image:
    """The RGB image of `values`, [height, width, 3] around 0..255."""
    return Image.fromarray(np.clip(values, 0, 255).round().astype(np.uint8))


# --- how they are filed


@dataclass(frozen=True)
class _Shot:
    """The image taken as number `place` of `count` in its bucket, and as number `serial` of the dataset."""

    bucket: int
    place: int
    count: int
    serial: int


@dataclass(frozen=True)
class _Filed:
    """An image that was written, and what its class's JSON file says of it."""

    class_name: str
    record: dict[str, str]


def _write_image(root: Path, source: Source, shot: _Shot, rng: np.random.Generator) -> _Filed:
    """Render and save one image."""
    # Steps and a random part below a step: unique, 10 or 11 digits, and growing with time as Flickr's do.
    name = str(_FIRST_ID + shot.serial * _ID_STEP + int(rng.integers(_ID_STEP)))
    relative = f"labeled_images/{shot.bucket}/{source.class_name}/{name}.jpg"
    path = root / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    look = _jittered(look_at(_moment(shot.bucket / (NUM_BUCKETS - 1), rng)), rng)
    _render(source, look, rng).save(path, format="JPEG", quality=90, subsampling=0)
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
    return _Filed(source.class_name, record)


def _date_taken(shot: _Shot, rng: np.random.Generator) -> datetime:
    """A moment in the bucket's year; the images of a bucket are spread over it in the order of their ids."""
    start = datetime(FIRST_YEAR + shot.bucket, 1, 1)
    length = (datetime(start.year + 1, 1, 1) - start).total_seconds()
    return start + timedelta(seconds=int(length * (shot.place + rng.random()) / shot.count))


def _write_records(root: Path, bucket: str, filed: list[_Filed]) -> dict[str, str]:
    """Write a bucket's JSON files, one a class; return their paths relative to `root` by class."""
    paths = {}
    for name in CLASS_NAMES:
        records = {item.record["ID"]: item.record for item in filed if item.class_name == name}
        paths[name] = f"labeled_metadata/{bucket}/{name}.json"
        _write_json(root / paths[name], records)
    return paths


def _write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON; whole or not does not matter here, since the folder is renamed as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((json.dumps(value, indent=2) + "\n").encode())
