"""Finds the values of a metric that are figures, without importing matplotlib."""

import sys


def is_figure(value: object) -> bool:
    """Whether `value` is a figure of matplotlib's."""
    drawn = sys.modules.get("matplotlib.figure")
    return drawn is not None and isinstance(value, drawn.Figure)
