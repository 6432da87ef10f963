"""A check that fails itself is a line, and the others are still made."""

from collections.abc import Iterator

from clearctl.doctor.checks import Check, ok, section


def _fails() -> Iterator[Check]:
    yield ok("first", "there")
    raise PermissionError(13, "Permission denied", "/proc/x")


def test_a_check_that_fails() -> None:
    found = section("Title", {"failing": _fails, "sound": lambda: [ok("second", "there")]})
    assert [(check.name, check.state) for check in found.checks] == [
        ("first", "ok"),
        ("failing", "warning"),
        ("second", "ok"),
    ]
    assert "PermissionError" in found.checks[1].found
