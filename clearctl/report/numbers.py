"""The summary numbers that a report has: always, and those that are added on request."""

from collections.abc import Mapping, Sequence

from clearctl import metrics
from clearctl.config.registry import closest
from clearctl.errors import UsageError

Numbers = Mapping[str, metrics.Number]

NUMBERS: Numbers = {name: number for name, number in metrics.NUMBERS.items() if not number.added}
# Others that have been published, which a report has where they are asked for.
ADDED: Numbers = {name: number for name, number in metrics.NUMBERS.items() if number.added}


def choose_numbers(add: Sequence[str]) -> Numbers:
    """NUMBERS, and those of ADDED that `add` names, in the order of tables. Raises UsageError for a name of neither."""
    for name in add:
        if name not in ADDED and name not in NUMBERS:
            hint = closest(name, ADDED)
            raise UsageError(f"--add {name}: there is no such number{hint}\nexpected {' or '.join(ADDED)}")
    return {name: number for name, number in metrics.NUMBERS.items() if not number.added or name in add}
