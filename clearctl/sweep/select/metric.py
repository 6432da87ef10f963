"""The metric that settings are chosen by: a summary number of the matrix on validation images."""

import difflib
import math
from dataclasses import dataclass

import numpy as np

from clearctl.errors import UsageError
from clearctl.metrics import NUMBERS, compute_numbers
from clearctl.sweep.outcome import RunOutcome
from clearctl.wording import any_of, counted

PREFIX = "validation."
# Of the others some are of no images, such as the training time, and some not of every run, such as calibration.
NAMES = tuple(name for name, number in NUMBERS.items() if number.compute is not None and number.measured is None)


@dataclass(frozen=True)
class SelectionMetric:
    """The summary number `number` (a name in NUMBERS) of the validation parts."""

    number: str

    @property
    def name(self) -> str:
        """As `--select` has it."""
        return PREFIX + self.number

    @property
    def title(self) -> str:
        """As a sentence has it."""
        return f"validation {NUMBERS[self.number].title}"

    @property
    def lower_is_better(self) -> bool:
        """Whether the smallest mean is chosen, instead of the largest."""
        return NUMBERS[self.number].lower_is_better

    def value(self, outcome: RunOutcome) -> float:
        """The number of a run that was tested on validation images; NaN if it has none."""
        if self.number in outcome.numbers:
            return outcome.numbers[self.number]
        if outcome.matrix is None or outcome.matrix.shape[0] != outcome.matrix.shape[1]:
            return math.nan
        return compute_numbers(outcome.matrix).get(self.number, math.nan)

    def require_buckets(self, count: int) -> None:
        """Raise UsageError if a stream of `count` buckets has no such number, as none off the diagonal of one."""
        if math.isnan(compute_numbers(np.zeros((count, count)), np.zeros(count))[self.number]):
            raise UsageError(
                f"--select {self.name}: {counted(count, 'bucket')} {'has' if count == 1 else 'have'} no such number:"
                f" choose by {PREFIX}accuracy, or on more buckets"
            )


def read_metric(text: str) -> SelectionMetric:
    """The metric that `--select` names. Raises UsageError, with the nearest names, for one that no run has."""
    number = text.removeprefix(PREFIX)
    if text.startswith(PREFIX) and number in NAMES:
        return SelectionMetric(number)
    if number in NAMES:
        raise UsageError(f"--select {text}: settings are chosen on validation images only: write {PREFIX}{number}")
    near = difflib.get_close_matches(text.rpartition(".")[2], NAMES, n=3, cutoff=0.4) if "." in text else ()
    raise UsageError(f"--select {text}: unknown number, expected {any_of([PREFIX + name for name in near or NAMES])}")


def read_first(text: str) -> int:
    """K of `first:K`, which `--select-on` takes. Raises UsageError."""
    word, colon, count = text.partition(":")
    if word != "first" or not colon or not count.isdecimal() or not 0 < len(count) < 7 or int(count) < 1:
        raise UsageError(f"--select-on {text}: expected first:K, such as first:3 for the first three buckets")
    return int(count)
