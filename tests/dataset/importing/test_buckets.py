from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearctl.dataset.importing.buckets import (
    Cut,
    cut_by_count,
    cut_by_date,
    cut_by_time,
    cut_by_unit,
    own_buckets,
    read_bucket_by,
)
from clearctl.errors import DatasetError, UsageError

DATES = st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2030, 1, 1)), min_size=1, max_size=60)


def members(cut: Cut) -> list[list[int]]:
    return [list(bucket.members) for bucket in cut.buckets]


def require_in_time_order(cut: Cut, moments: list[datetime]) -> None:
    """Each image once, no bucket empty, no image earlier than one of an earlier bucket."""
    found = members(cut)
    assert all(found)
    assert sorted(number for bucket in found for number in bucket) == list(range(len(moments)))
    for earlier, later in zip(found, found[1:], strict=False):
        assert max(moments[number] for number in earlier) <= min(moments[number] for number in later)


def test_units() -> None:
    moments = [datetime(2006, 3, 31), datetime(2004, 1, 1), datetime(2004, 12, 31, 23, 59), datetime(2006, 4, 1)]
    years = cut_by_unit(moments, "year")
    assert [bucket.name for bucket in years.buckets] == ["2004", "2006"]
    assert members(years) == [[1, 2], [0, 3]]
    assert years.notes == ("1 year without images, between 2004 and 2006: no bucket",)
    quarters = cut_by_unit(moments, "quarter")
    assert [bucket.name for bucket in quarters.buckets] == ["2004-Q1", "2004-Q4", "2006-Q1", "2006-Q2"]
    assert quarters.notes == ("6 quarters without images, between 2004-Q1 and 2004-Q4, 2004-Q4 and 2006-Q1: no bucket",)
    months = cut_by_unit(moments[:1] + moments[3:], "month")
    assert [bucket.name for bucket in months.buckets] == ["2006-03", "2006-04"]
    assert months.notes == ()


def test_equal_count() -> None:
    days = [datetime(2004, 1, 1) + timedelta(days=day) for day in (9, 1, 1, 1, 5, 0, 7)]
    cut = cut_by_count(days, 3)
    assert members(cut) == [[5, 1, 2], [3, 4], [6, 0]]
    assert [bucket.name for bucket in cut.buckets][0] == "2004-01-01 to 2004-01-02"
    assert cut.notes == ("1 of 2 cuts are between images of the same date, in the order of their paths",)
    with pytest.raises(DatasetError, match="--bucket-by 8: there are only 7 images"):
        cut_by_count(days, 8)


def test_equal_time() -> None:
    days = [datetime(2004, 1, 1) + timedelta(days=day) for day in (0, 1, 2, 3, 100)]
    cut = cut_by_time(days, 4)
    assert members(cut) == [[0, 1, 2, 3], [4]]
    assert cut.notes == ("2 of 4 spans of equal length have no images: no bucket",)
    assert members(cut_by_time(days[:1] * 3, 2)) == [[0, 1, 2]]


@given(DATES, st.integers(2, 12))
def test_equal_counts_differ_by_one_at_most(moments: list[datetime], number: int) -> None:
    if len(moments) < number:
        with pytest.raises(DatasetError):
            cut_by_count(moments, number)
        return
    cut = cut_by_count(moments, number)
    require_in_time_order(cut, moments)
    sizes = [len(bucket.members) for bucket in cut.buckets]
    assert len(sizes) == number
    assert max(sizes) - min(sizes) <= 1


@given(DATES, st.integers(2, 12))
def test_equal_times_are_equal(moments: list[datetime], number: int) -> None:
    cut = cut_by_time(moments, number)
    require_in_time_order(cut, moments)
    length = (max(moments) - min(moments) + timedelta(microseconds=1)) / number
    for bucket in cut.buckets:
        dates = [moments[member] for member in bucket.members]
        assert max(dates) - min(dates) <= length
    for moment in set(moments):  # one moment is in one bucket
        assert sum(any(moments[member] == moment for member in bucket.members) for bucket in cut.buckets) == 1


@given(DATES, st.sampled_from(["year", "quarter", "month"]))
def test_units_are_in_time_order(moments: list[datetime], unit: str) -> None:
    cut = cut_by_date(moments, unit, "count")
    require_in_time_order(cut, moments)
    names = [bucket.name for bucket in cut.buckets]
    assert names == sorted(set(names))


@pytest.mark.parametrize("text", ["week", "0", "1", "-2", "2.5", "", "٣", "9999999", True])
def test_bucket_by_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match="expected year, quarter, month or a number of buckets ≥ 2"):
        read_bucket_by(text)


def test_bucket_by() -> None:
    assert [read_bucket_by(text) for text in ("year", "10", 3)] == ["year", 10, 3]


def test_own_buckets() -> None:
    assert own_buckets(["b10", "b9", "b9"], None) == ["b9", "b10"]
    assert own_buckets(["old", "new"], ["old", "new"]) == ["old", "new"]
    with pytest.raises(DatasetError, match=r"--order lacks new\nthe buckets are new, old"):
        own_buckets(["old", "new"], ["old"])
    with pytest.raises(DatasetError, match="--order has newer, expected names of buckets"):
        own_buckets(["old"], ["old", "newer"])
