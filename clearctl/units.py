"""Human-readable sizes, durations and percentages."""

import math


def megabytes(size_bytes: int) -> int:
    """Whole MB, rounded up, so that only nothing is 0."""
    return -(-size_bytes // 1_000_000)


def byte_size(size_bytes: int) -> str:
    """`6.6 GB`, `12.3 MB` or `4.5 kB`."""
    if size_bytes >= 50_000_000:
        return f"{size_bytes / 1e9:.1f} GB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 50_000 else f"{size_bytes / 1e3:.1f} kB"


def duration(seconds: float) -> str:
    """`7.3 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def percent(fraction: float) -> str:
    """`92.3` of 0.9234: an accuracy as tables and messages have it, where files have the fraction. "-" for NaN."""
    if math.isnan(fraction):
        return "-"
    text = f"{100 * fraction:.1f}"
    return text.removeprefix("-") if float(text) == 0 else text
