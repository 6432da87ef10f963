"""What metadata values are, one by one and together."""

from datetime import datetime

import pytest

from clearctl.dataset.recut.fields import Field, Kind, RecordKey, is_missing, parse_date, parse_number, read_value
from clearctl.errors import DatasetError


def field_of(*values) -> Field:
    field = Field("views")
    for number, value in enumerate(values):
        field.note(value, RecordKey("3", "camera", str(number)))
    return field


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        (" 12 ", 12),
        ("007", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        ("123456789012345678901", 123456789012345678901),
        ("", None),
        ("1_000", None),
        ("1,000", None),
        ("0x10", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("1 2", None),
        ("e5", None),
        (".", None),
    ],
)
def test_numbers(text, number):
    found = parse_number(text)
    assert found == number
    assert type(found) is type(number)


def test_a_whole_number_of_more_digits_than_python_reads_is_large():
    assert parse_number("9" * 5000) == float("inf")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2004-01-05 12:00:00.0", datetime(2004, 1, 5, 12)),
        ("2004-01-05T12:00:00", datetime(2004, 1, 5, 12)),
        ("2004-01-05 12:34", datetime(2004, 1, 5, 12, 34)),
        ("2004-01-05", datetime(2004, 1, 5)),
        ("2004-05", datetime(2004, 5, 1)),
        ("2004", datetime(2004, 1, 1)),
        (" 2004-01-05 ", datetime(2004, 1, 5)),
        ("2004-01-05 12:00:00.25", datetime(2004, 1, 5, 12, 0, 0, 250_000)),
        ("2004-01-05 12:00:00,123456789", datetime(2004, 1, 5, 12, 0, 0, 123_456)),
        ("2004-01-05T12:00:00Z", datetime(2004, 1, 5, 12)),
        ("2004-01-05T12:00:00+02:00", datetime(2004, 1, 5, 10)),
        ("2004-01-05 00:30:00 -0130", datetime(2004, 1, 5, 2)),
        ("2004-01-05T23:00:00-05", datetime(2004, 1, 6, 4)),
        ("0001-01-01T00:00:00+05:00", None),
        ("2004-13-01", None),
        ("2004-02-30", None),
        ("2004-00-00", None),
        ("2004-01-05 25:00:00", None),
        ("2004-1-5", None),
        ("05.01.2004", None),
        ("2004-01-05 12", None),
        ("January", None),
        ("20040105", None),
    ],
)
def test_dates(text, moment):
    assert parse_date(text) == moment


@pytest.mark.parametrize("value", [None, "", "  ", "null", "NULL", float("nan"), "0000-00-00", "0000-00-00 00:00:00.0"])
def test_missing(value):
    assert is_missing(value)
    assert field_of(value).kind() is None


@pytest.mark.parametrize("value", [0, 0.0, False, "0", "none", "nullable", [], "0000-00-01"])
def test_not_missing(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5], Kind.NUMBER),
        (["9", "10"], Kind.NUMBER),
        ([1, "10", None, ""], Kind.NUMBER),
        (["2008", "2009"], Kind.NUMBER),
        (["2008-01-01", "2008-02-01 10:00:00.0", "null"], Kind.DATE),
        (["a", "b"], Kind.TEXT),
        (["a", "7", "2008-01-01"], Kind.TEXT),
        (["2008-01-01", "2008"], Kind.TEXT),
        ([True, False], Kind.TRUTH),
    ],
)
def test_kinds(values, kind):
    for order in (values, values[::-1]):
        assert field_of(*order).kind() is kind


@pytest.mark.parametrize(
    ("values", "one", "other"),
    [
        ([1, "n/a"], "1 (bucket 3, class 'camera', id '0') is a number", "'n/a' (bucket 3, class 'camera', id '1') is"),
        ([True, 1], "True", "1 ("),
        (["7", "2008-01-01", 5], "'2008-01-01'", "5 (bucket 3, class 'camera', id '2')"),
    ],
)
def test_values_that_do_not_go_together_are_both_named(values, one, other):
    with pytest.raises(DatasetError) as error:
        field_of(*values).kind()
    for text in ("views", one, other):
        assert text in str(error.value)
    assert str(error.value).count("\n") == 1


@pytest.mark.parametrize("value", [[1], {"a": 1}])
def test_lists_and_objects_do_not_compare(value):
    with pytest.raises(DatasetError, match="is a list or an object"):
        field_of("a", value).kind()


@pytest.mark.parametrize(
    ("values", "what"), [(["9", "10", "n/a"], "a number"), (["2008-01-01", "2009-01-01", "soon"], "a date")]
)
def test_text_that_is_mostly_something_else_has_no_order(values, what):
    field = field_of(*values)
    assert field.kind() is Kind.TEXT
    with pytest.raises(DatasetError) as error:
        field.require_order()
    assert f"views is {what}" in str(error.value)
    assert "2 of 3 records" in str(error.value)
    assert f"{values[2]!r} in bucket 3, class 'camera', id '2'" in str(error.value)
    assert f"""--where "views != {values[2]!r}\"""" in str(error.value)


def test_text_with_a_few_numbers_has_an_order():
    field_of("sunset", "beach", "7").require_order()
    field_of("7", "8").require_order()


def test_a_value_that_is_not_what_its_field_holds():
    with pytest.raises(ValueError, match="'soon' is not of dates"):
        read_value("soon", Kind.DATE)
