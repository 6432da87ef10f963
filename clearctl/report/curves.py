"""The course of training, epoch after epoch: means over the runs of a group, thinned to what a chart can show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from clearctl.report.charts import Band, ChartLine, line_chart, nice_ticks
from clearctl.report.groups import shown
from clearctl.report.runs import Run

MOST_POINTS = 300


@dataclass(frozen=True)
class BucketCurve:
    """A bucket's epochs, numbered over the whole run from `first` to `last`, and the means at the end of the last."""

    bucket: str
    first: int
    last: int
    loss: float
    accuracy: float


@dataclass(frozen=True)
class Curves:
    """Mean `loss` and `accuracy` [epochs] after each epoch of the run, and the buckets that these are of, in order.

    Of several runs there are sample standard deviations [epochs] too.
    """

    loss: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    parts: tuple[BucketCurve, ...]
    loss_std: NDArray[np.float64] | None = None
    accuracy_std: NDArray[np.float64] | None = None


def training_curves(runs: Sequence[Run]) -> Curves | None:
    """The means over `runs`, up to the epoch that all have reached; None if one has no epoch yet."""
    length = min((len(run.epochs) for run in runs), default=0)
    if not length:
        return None
    values = [
        np.array([[_number(epoch.get(name)) for epoch in run.epochs[:length]] for run in runs])
        for name in ("loss", "accuracy")
    ]
    loss, accuracy = (one.mean(axis=0) for one in values)
    parts, first = [], 1
    for _, epochs in groupby(runs[0].epochs[:length], key=lambda epoch: epoch["bucket_number"]):
        members = list(epochs)
        last = first + len(members) - 1
        parts.append(
            BucketCurve(str(members[0]["bucket"]), first, last, float(loss[last - 1]), float(accuracy[last - 1]))
        )
        first = last + 1
    stds = (one.std(axis=0, ddof=1) if len(runs) > 1 else None for one in values)
    return Curves(loss, accuracy, tuple(parts), *stds)


def training_charts(curves: Curves) -> list[tuple[str, Markup]]:
    """(title, chart): loss and accuracy over all epochs. The buckets are bands, unless there is one alone."""
    several = len(curves.parts) > 1
    bands = [Band(part.first - 1, part.last, part.bucket, _at_its_end(part)) for part in curves.parts]
    last = curves.parts[-1].last
    ticks = [(tick, f"{tick:g}") for tick in nice_ticks(1, last) if 1 <= tick <= last and tick == int(tick)]
    drawn = []
    for title, y_label, values in (
        ("Training loss", "loss", curves.loss),
        ("Training accuracy", "accuracy (%)", 100 * curves.accuracy),
    ):
        kept = downsample(values)
        chart = line_chart(
            [ChartLine([index + 1 for index in kept], values[kept].tolist(), "one", title)],
            title=title,
            x_label="the epochs of each bucket in turn" if several else "epoch",
            y_label=y_label,
            x_ticks=ticks,
            bands=bands if several else [],
            from_zero=y_label == "loss",
            at_most=math.inf if y_label == "loss" else 100,
        )
        drawn.append((title, chart))
    return drawn


def _at_its_end(part: BucketCurve) -> str:
    accuracy = shown("accuracy", part.accuracy)
    return f"bucket {part.bucket}, its last epoch: loss {_short(part.loss)}, accuracy {accuracy} %"


def downsample(values: NDArray[np.float64], most: int = MOST_POINTS) -> list[int]:
    """Indices of at most `most` of `values` that look like all: the ends, and each stretch's least and greatest."""
    if len(values) <= most:
        return list(range(len(values)))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(len(values)), (most - 2) // 2):
        known = stretch[np.isfinite(values[stretch])]
        if len(known):
            kept |= {int(known[np.argmin(values[known])]), int(known[np.argmax(values[known])])}
    return sorted(kept)


def _short(loss: float) -> str:
    return f"{loss:.4f}" if abs(loss) < 1000 else f"{loss:.4g}"


def _number(value: float | None) -> float:
    return math.nan if value is None else value
