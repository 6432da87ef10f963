"""The summary numbers that a report has: always, and those that are added on request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clearctl.config.registry import closest
from clearctl.errors import UsageError


@dataclass(frozen=True)
class Number:
    """A summary number: whose it is, its heading in a table under that, and what it is."""

    of: str
    heading: str
    explanation: str

    @property
    def title(self) -> str:
        """Its heading where that stands alone, so that CLEAR's transfers and GEM's are never taken for each other."""
        return f"{self.of} {self.heading}" if self.of == "GEM" else self.heading


Numbers = Mapping[str, Number]

NUMBERS: Numbers = {
    "in_domain": Number("CLEAR", "in-domain", "mean of the diagonal"),
    "next_domain": Number("CLEAR", "next-domain", "mean just right of the diagonal: the next bucket"),
    "accuracy": Number("CLEAR", "accuracy", "mean of the diagonal and below"),
    "backward_transfer": Number("CLEAR", "backward transfer", "mean below the diagonal: buckets seen before"),
    "forward_transfer": Number("CLEAR", "forward transfer", "mean above the diagonal: buckets not seen yet"),
    "gem_bwt": Number("GEM", "BWT", "how much the last model lost or gained on earlier buckets"),
    "gem_fwt": Number("GEM", "FWT", "next bucket before training on it, over the untrained model"),
    "training_s": Number("", "training (s)", "seconds of all epochs, without the tests"),
}
# Others that have been published, which a report has where they are asked for.
ADDED: Numbers = {
    "challenge": Number(
        "CLEAR", "challenge", "score of the CVPR'22 challenge: mean of next-domain, in-domain, backward and forward"
    ),
    "final_domain": Number("CLEAR", "final domain", "mean of the last column: the last bucket, by every model"),
}


def choose_numbers(add: Sequence[str]) -> Numbers:
    """NUMBERS, and those of ADDED that `add` names after CLEAR's others. Raises UsageError for a name of neither."""
    for name in add:
        if name not in ADDED and name not in NUMBERS:
            hint = closest(name, ADDED)
            raise UsageError(f"--add {name}: there is no such number{hint}\nexpected {' or '.join(ADDED)}")
    of_clear = {name: number for name, number in NUMBERS.items() if number.of == "CLEAR"}
    added = {name: number for name, number in ADDED.items() if name in add}
    return {**of_clear, **added, **NUMBERS}
