"""One run's accuracy matrix as a report draws it, in pixels: for what shows images, such as TensorBoard."""

import warnings
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from clearctl.metrics import Matrix
from clearctl.report.colours import scale_of
from clearctl.report.fonts import families
from clearctl.report.plot_heat import heat_figure
from clearctl.report.plot_style import STYLE
from clearctl.report.tables import Cell
from clearctl.units import percent

_WIDTH = "column"  # small, so that its letters can be read in the few hundred pixels that such pages give an image
_DPI = 300


def matrix_image(matrix: Matrix, bucket_names: Sequence[str], title: str) -> NDArray[np.uint8]:
    """R [rows, N] in percent as an RGB image [H, W, 3]."""
    cells = [[Cell(percent(value), "") for value in row] for row in matrix.tolist()]
    fonts, _ = families([title, *bucket_names])
    with matplotlib.rc_context({**STYLE, "font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # boxes in its place
        figure = heat_figure(matrix, cells, bucket_names, title, scale_of([matrix]), _WIDTH)
        figure.set_dpi(_DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
