"""Cut dated images into buckets: by calendar units, or into N of equal count or of equal time.

Every cut takes the moments of the images and returns buckets of their numbers, in time order, each with a name and at
least one image; within a bucket the order of the images is kept.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from clearctl.dataset.importing.names import natural_key
from clearctl.errors import DatasetError, UsageError
from clearctl.wording import counted, few

UNITS: dict[str, Callable[[datetime], tuple[str, int]]] = {
    # The name of the unit that a moment is in, and its number, which the next unit follows by 1.
    "year": lambda moment: (f"{moment:%Y}", moment.year),
    "quarter": lambda moment: (f"{moment:%Y}-Q{(moment.month + 2) // 3}", moment.year * 4 + (moment.month - 1) // 3),
    "month": lambda moment: (f"{moment:%Y-%m}", moment.year * 12 + moment.month - 1),
}
EQUALS = ("count", "time")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class BucketOfSource:
    """A bucket before it has a number: how it is called, and the numbers of its images."""

    name: str
    members: tuple[int, ...]


@dataclass(frozen=True)
class Cut:
    """The buckets, and `notes` on the cut."""

    buckets: tuple[BucketOfSource, ...]
    notes: tuple[str, ...] = ()


def read_bucket_by(text: str | int) -> str | int:
    """`year`, `quarter`, `month`, or a number of buckets ≥ 2. Raises UsageError."""
    if text in UNITS:
        return str(text)
    digits = str(text)
    if isinstance(text, bool) or not digits.isascii() or not digits.isdecimal() or len(digits) > 6 or int(digits) < 2:
        raise UsageError(f"--bucket-by {text}: expected {', '.join(UNITS)} or a number of buckets ≥ 2")
    return int(digits)


def cut_by_date(moments: Sequence[datetime], bucket_by: str | int, equal: str) -> Cut:
    """Buckets by a unit of UNITS, or a number of buckets of equal "count" or "time"."""
    if isinstance(bucket_by, str):
        return cut_by_unit(moments, bucket_by)
    return cut_by_count(moments, bucket_by) if equal == "count" else cut_by_time(moments, bucket_by)


def cut_by_unit(moments: Sequence[datetime], unit: str) -> Cut:
    """A bucket for each year, quarter or month that has images; notes on the units between them that have none."""
    place = UNITS[unit]
    members: dict[tuple[int, str], list[int]] = {}
    for number, moment in enumerate(moments):
        name, order = place(moment)
        members.setdefault((order, name), []).append(number)
    ordered = sorted(members)
    empty = sum(later - earlier - 1 for (earlier, _), (later, _) in zip(ordered, ordered[1:], strict=False))
    between = [
        f"{name} and {next_name}"
        for (order, name), (following, next_name) in zip(ordered, ordered[1:], strict=False)
        if following > order + 1
    ]
    notes = [f"{counted(empty, unit)} without images, between {few(between)}: no bucket"] if empty else []
    return Cut(tuple(BucketOfSource(name, tuple(members[order, name])) for order, name in ordered), tuple(notes))


def cut_by_count(moments: Sequence[datetime], num_buckets: int) -> Cut:
    """Buckets whose sizes differ by 1 at most, the larger ones first.

    Images of one moment keep their order and may come into two buckets; a note says how often they do. Raises
    DatasetError for fewer images than buckets.
    """
    if len(moments) < num_buckets:
        raise DatasetError(f"--bucket-by {num_buckets}: there are only {counted(len(moments), 'image')}")
    order = sorted(range(len(moments)), key=lambda number: moments[number])
    size, larger = divmod(len(order), num_buckets)
    ends = [size * bucket + min(bucket, larger) for bucket in range(num_buckets + 1)]
    runs = [order[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    through = sum(moments[order[end - 1]] == moments[order[end]] for end in ends[1:-1])
    notes = (
        [f"{through} of {num_buckets - 1} cuts are between images of the same date, in the order of their paths"]
        if through
        else []
    )
    return Cut(tuple(_named_by_dates(moments, run) for run in runs), tuple(notes))


def cut_by_time(moments: Sequence[datetime], num_buckets: int) -> Cut:
    """Buckets of equal length in time, from the first image to the last; notes on those that would have no image.

    A moment between two is in the later one.
    """
    first, last = min(moments), max(moments)
    span = (last - first) // _MICROSECOND + 1
    members: dict[int, list[int]] = {}
    for number, moment in enumerate(moments):
        members.setdefault((moment - first) // _MICROSECOND * num_buckets // span, []).append(number)
    empty = num_buckets - len(members)
    notes = [f"{empty} of {num_buckets} spans of equal length have no images: no bucket"] if empty else []
    return Cut(tuple(_named_by_dates(moments, members[number]) for number in sorted(members)), tuple(notes))


def _named_by_dates(moments: Sequence[datetime], members: Sequence[int]) -> BucketOfSource:
    dates = [moments[number] for number in members]
    return BucketOfSource(f"{min(dates):%Y-%m-%d} to {max(dates):%Y-%m-%d}", tuple(members))


def own_buckets(names: Iterable[str], order: Sequence[str] | None) -> list[str]:
    """The names of the source's buckets in time order: in that of `order`, else the natural one.

    Raises DatasetError for an order that leaves one out, or has one that does not exist.
    """
    there = sorted(set(names), key=natural_key)
    if order is None:
        return there
    missing, unknown = [name for name in there if name not in order], [name for name in order if name not in there]
    if missing or unknown:
        what = f"lacks {few(missing)}" if missing else f"has {few(unknown)}, expected names of buckets"
        raise DatasetError(f"--order {what}\nthe buckets are {', '.join(there)}: list each once, one per line")
    return list(order)
