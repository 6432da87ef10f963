"""Bytes and seconds as people read them."""

from clearctl.units import byte_size, duration, megabytes


def test_only_nothing_is_no_megabyte() -> None:
    assert [megabytes(size) for size in (0, 1, 1_000_000, 1_000_001)] == [0, 1, 1, 2]


def test_sizes() -> None:
    found = [byte_size(size) for size in (0, 4_500, 50_000, 49_900_000, 50_000_000, 6_640_000_000)]
    assert found == ["0.0 kB", "4.5 kB", "0.1 MB", "49.9 MB", "0.1 GB", "6.6 GB"]


def test_durations() -> None:
    found = [duration(seconds) for seconds in (0.04, 59.9, 245, 3600, 7815)]
    assert found == ["0.0 s", "59.9 s", "4 min 05 s", "1 h 00 min", "2 h 10 min"]
