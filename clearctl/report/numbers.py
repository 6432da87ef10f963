"""The summary numbers of a report: the default ones, and those added on request."""

from collections.abc import Iterator, Mapping, Sequence

from clearctl import metrics
from clearctl.errors import UsageError
from clearctl.nearby import closest

Numbers = Mapping[str, metrics.Number]


class _Rows(Mapping[str, metrics.Number]):
    """The rows that the table has now which are `added`, or those which are not."""

    def __init__(self, *, added: bool) -> None:
        self._added = added

    def __getitem__(self, name: str) -> metrics.Number:
        if metrics.NUMBERS[name].added is not self._added:
            raise KeyError(name)
        return metrics.NUMBERS[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, number in metrics.NUMBERS.items() if number.added is self._added)

    def __len__(self) -> int:
        return sum(1 for _ in self)


NUMBERS: Numbers = _Rows(added=False)
# Others that have been published, which a report has if they are requested.
ADDED: Numbers = _Rows(added=True)


def choose_numbers(add: Sequence[str]) -> Numbers:
    """NUMBERS, and those of ADDED that `add` names, in the order of tables. Raises UsageError for a name of neither."""
    for name in add:
        if name not in ADDED and name not in NUMBERS:
            hint = closest(name, ADDED)
            raise UsageError(f"--add {name}: no such number{hint}\nexpected {' or '.join(ADDED)}")
    return {name: number for name, number in metrics.NUMBERS.items() if not number.added or name in add}


def check_columns(columns: Sequence[str]) -> None:
    """Raise UsageError for a name that is not a summary number, and for one that is named twice."""
    for name in columns:
        if name not in metrics.NUMBERS:
            hint = closest(name, metrics.NUMBERS)
            raise UsageError(f"--columns {name}: no such number{hint}\nexpected some of {', '.join(metrics.NUMBERS)}")
        if columns.count(name) > 1:
            raise UsageError(f"--columns: {name} is given {columns.count(name)} times")
