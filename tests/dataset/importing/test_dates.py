from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sources import photo

from clearctl.dataset.importing.dates import DatePattern, exif_tags, implausible, period_of, read_cell, read_exif
from clearctl.errors import UsageError

MOMENT = datetime(2004, 5, 31, 12, 30, 59)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2004:05:31 12:30:59", MOMENT),
        ("2004-05-31 12:30:59", MOMENT),
        ("2004:05:31", datetime(2004, 5, 31)),
        ("2004:05:31 12:30", datetime(2004, 5, 31, 12, 30)),
        ("2004:05:31 12:30:59.12+02:00", MOMENT),
        ("0000:00:00 00:00:00", None),
        ("2004:02:30 12:00:00", None),
        ("    :  :     :  :  ", None),
        ("yesterday", None),
    ],
)
def test_exif_dates(text: str, moment: datetime | None) -> None:
    assert read_exif(text) == moment


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_of_files(tmp_path: Path, suffix: str) -> None:
    with Image.open(photo(tmp_path / f"a{suffix}", MOMENT)) as image:
        assert exif_tags(image) == ("2004:05:31 12:30:59", False)
    with Image.open(photo(tmp_path / f"b{suffix}")) as image:
        assert exif_tags(image) == (None, False)


def test_damaged_exif_is_none(tmp_path: Path) -> None:
    file = photo(tmp_path / "a.jpg", MOMENT)
    data = file.read_bytes()
    place = data.index(b"Exif\0\0") + 6
    for length in range(4, 40, 3):
        file.write_bytes(data[:place] + b"\xff" * length + data[place + length :])
        with Image.open(file) as image:
            assert len(exif_tags(image).date or "") < 40


@pytest.mark.parametrize(
    ("pattern", "text", "moment"),
    [
        ("IMG_%Y%m%d_%H%M%S", "IMG_20040531_123059", MOMENT),
        ("%Y-%m-%d", "cat 2004-05-31 (1)", datetime(2004, 5, 31)),
        ("%d/%m/%Y", "31/5/2004", datetime(2004, 5, 31)),
        ("%d.%m.%y", "31.05.04", datetime(2004, 5, 31)),
        ("%d.%m.%y", "31.05.69", datetime(1969, 5, 31)),
        ("%Y", "a 2004 b", datetime(2004, 1, 1)),
        ("%Y", "20040", None),  # of other digits
        ("%s", "flickr_1086006659_o", MOMENT),
        ("%Y*%m", "2004 in month 05", datetime(2004, 5, 1)),
        ("%Y%m%d", "99999999 20040531", datetime(2004, 5, 31)),  # the first that is a date
        ("%Y.jpg", "2004xjpg", None),
        ("100%% %Y", "100% 2004", datetime(2004, 1, 1)),
    ],
)
def test_patterns(pattern: str, text: str, moment: datetime | None) -> None:
    assert DatePattern(pattern).find(text) == moment


@pytest.mark.parametrize("pattern", ["%m-%d", "%Y %Y", "%Q%Y", "", "%"])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(UsageError, match=r"^--date-pattern"):
        DatePattern(pattern)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(lambda each: each.replace(microsecond=0)))
def test_what_strftime_writes_is_read(moment: datetime) -> None:
    for pattern in ("x%Y%m%d_%H%M%Sz", "%d.%m.%Y, %H:%M:%S", "%y-%m-%d %H.%M.%S"):
        assert DatePattern(pattern).find(moment.strftime(pattern)) == moment


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2004-05-31 12:30:59", MOMENT),
        ("2004-05-31T12:30:59Z", MOMENT),
        ("2004-05-31T14:30:59+02:00", MOMENT),
        ("2004:05:31 12:30:59", MOMENT),
        ("2004", datetime(2004, 1, 1)),
        (2004, datetime(2004, 1, 1)),
        (2004.0, datetime(2004, 1, 1)),
        ("20040531", datetime(2004, 5, 31)),
        ("1086006659", MOMENT),
        (1086006659, MOMENT),
        (1086006659000, MOMENT),
        (date(2004, 5, 31), datetime(2004, 5, 31)),
        (MOMENT, MOMENT),
        (MOMENT.replace(tzinfo=timezone(timedelta(hours=1))), MOMENT - timedelta(hours=1)),
        (None, None),
        ("", None),
        (float("nan"), None),
    ],
)
def test_cells(value: object, moment: datetime | None) -> None:
    assert read_cell(value) == moment


@pytest.mark.parametrize("value", ["31/05/2004", "spring", True, "123456", [2004], "99999999"])
def test_cells_that_are_no_date(value: object) -> None:
    with pytest.raises(ValueError, match="."):
        read_cell(value)


def test_a_pattern_reads_cells() -> None:
    assert read_cell("31/05/2004", DatePattern("%d/%m/%Y")) == datetime(2004, 5, 31)


def test_implausible() -> None:
    now = datetime(2024, 1, 1)
    assert implausible(datetime(1899, 12, 31), now) == "before 1900"
    assert implausible(now + timedelta(days=2), now) == "in the future"
    assert implausible(now + timedelta(hours=20), now) is None  # of another time zone


@pytest.mark.parametrize(
    ("name", "period"),
    [
        ("2004", (datetime(2004, 1, 1), datetime(2005, 1, 1))),
        ("2004-12", (datetime(2004, 12, 1), datetime(2005, 1, 1))),
        ("2004-02-29", (datetime(2004, 2, 29), datetime(2004, 3, 1))),
        ("1", None),
        ("0012", None),
        ("9999", None),
        ("summer", None),
    ],
)
def test_periods(name: str, period: tuple[datetime, datetime] | None) -> None:
    assert period_of(name) == period
