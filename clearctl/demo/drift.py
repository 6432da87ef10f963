"""Changes of the demo's images over the years, as cameras and fashions change.

The look is a function of the time t = (bucket - 1) / 9:

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
less the further away: after bucket "10", some 0.3 on bucket "1".
"""

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

IMAGE_SIZE = 32

_SPREAD = 0.08  # of the times in a bucket, as a standard deviation: just under a bucket
_STRAYS = 0.05  # share of images of any time at all

PixelArray: TypeAlias = npt.NDArray[np.uint8]
Colour: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Appearance:
    """The look of the images of a time. Colours are RGB, shape [3], 0..255.

    `contrast` scales the distance from the mid tone, `resolution` (px) is the width the camera resolves,
    `blur` (px) the sigma of a Gaussian at 32 x 32, `grain` the standard deviation of noise (of 0..255).
    """

    ink: Colour
    paper: Colour
    contrast: float
    resolution: float
    blur: float
    grain: float


_TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)
_INKS = ((58, 36, 20), (140, 26, 48), (226, 70, 40), (250, 165, 70), (252, 238, 190))
_PAPERS = ((246, 236, 208), (176, 208, 222), (92, 146, 190), (48, 74, 136), (20, 24, 46))


def appearance_at(t: float) -> Appearance:
    """The look of time `t`, 0 (bucket "1") to 1 (bucket "10"), without any jitter."""
    return Appearance(
        ink=_colour_at(t, _INKS),
        paper=_colour_at(t, _PAPERS),
        contrast=0.72 + 0.28 * t,
        resolution=11 + 21 * t,
        blur=1.0 * (1 - t),
        grain=7.0 * (1 - t),
    )


def _colour_at(t: float, keys: tuple[tuple[int, int, int], ...]) -> Colour:
    """The colour at time `t` between the `keys` of _TIMES."""
    return np.array([np.interp(t, _TIMES, [key[channel] for key in keys]) for channel in range(3)])


def random_time(t: float, rng: np.random.Generator) -> float:
    """The time whose look an image taken at `t` has: a little off, and for some way off."""
    off, stray = t + rng.normal(0, _SPREAD), rng.uniform()
    return float(np.clip(stray if rng.random() < _STRAYS else off, 0, 1))


def jittered(look: Appearance, rng: np.random.Generator) -> Appearance:
    """`look` as one photographer's camera and pen would have it."""
    return replace(
        look,
        ink=np.clip(look.ink + rng.normal(0, 12, 3), 0, 255),
        paper=np.clip(look.paper + rng.normal(0, 12, 3), 0, 255),
        contrast=look.contrast * rng.uniform(0.92, 1.08),
        resolution=look.resolution + rng.uniform(-1, 1),
        blur=look.blur * rng.uniform(0.7, 1.3),
    )


def render(pixels: PixelArray, look: Appearance, rng: np.random.Generator) -> Image.Image:
    """A digit, uint8 [8, 8], or a crop of a photograph, uint8 [48, 48, 3], as RGB of 32 x 32 px with the given look."""
    picture = _page(pixels, look, rng) if pixels.ndim == 2 else _photograph(pixels, look)
    return _expose(picture, look, rng)


def _page(pixels: PixelArray, look: Appearance, rng: np.random.Generator) -> Image.Image:
    """A digit written on paper, at a slightly different place, size and angle each time."""
    # The margin keeps the strokes that touch the edge of the 8 x 8 image from ending in a hard line.
    margin = 2
    ink = Image.fromarray(np.pad(pixels, margin))
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


def _photograph(pixels: PixelArray, look: Appearance) -> Image.Image:
    """A crop of a photograph, uint8 [48, 48, 3], under light of the paper's colour."""
    crop = Image.fromarray(pixels).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS)
    return _image(0.7 * np.asarray(crop) + 0.3 * look.paper)


def _expose(picture: Image.Image, look: Appearance, rng: np.random.Generator) -> Image.Image:
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
