from typing import get_type_hints

import pytest
from typer.models import OptionInfo

from clearctl.cli import app
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


def test_every_option_with_a_metavar_is_named_in_the_code():
    """typer 0.27 names an option without a name of its own after its metavar: --SEEDS instead of --seeds."""
    for command in [*app.registered_commands, *app.registered_groups[0].typer_instance.registered_commands]:
        for name, hint in get_type_hints(command.callback, include_extras=True).items():
            for info in getattr(hint, "__metadata__", ()):
                if isinstance(info, OptionInfo) and info.metavar:
                    assert str(info.default).startswith("--"), (
                        command.callback,
                        name,
                    )  # typer keeps the first name there
