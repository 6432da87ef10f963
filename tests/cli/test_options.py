import pytest

from clearctl.cli.options import parse_numbers
from clearctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [3]), ("0-4", [0, 1, 2, 3, 4]), ("0,2,5-7", [0, 2, 5, 6, 7]), ("4-4", [4])]
)
def test_numbers(text, numbers):
    assert parse_numbers(text, "--seeds") == numbers


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-1", "1,,2", "9" * 5000, "0-9999999999"])
def test_what_is_no_number(text):
    with pytest.raises(UsageError, match="--seeds"):
        parse_numbers(text, "--seeds")
