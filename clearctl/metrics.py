"""Summary numbers of an accuracy matrix: one table, used by everything that shows them. Needs numpy only.

R[i, j] is the accuracy (0 to 1) on the test set of bucket j after training on buckets 0..i. Another number is one more
row of the table: it then appears in eval.json, in the output of `train`, `eval` and `sweep`, and in every report
format, or, with `added`, in reports that request it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from clearctl.shortrepr import ShortRepr

Matrix = NDArray[np.float64]
# (R [N, N], the accuracies [N] before any training if known) → the number; None if it cannot be computed.
Compute = Callable[[Matrix, "Matrix | None"], float | None]


@dataclass(frozen=True)
class Number:
    """A summary number.

    Args:
            of: who defined it, such as "CLEAR" or "GEM"; "" if nobody did.
        heading: its name in a table, below that of its owner.
        short: the same in two lines, for a terminal; `narrow` is in one line, for a page.
        explanation: what it is, in a few words.
        compute: its value; NaN if it has no entry to average. None for a number that is not computed from the matrix.
        measured: what it is computed from instead of R, if a run has it (`measured.measured_matrices`).
        unit: fractions are shown in percent, seconds and nats as they are.
        lower_is_better: whether a smaller value is better.
        on_or_below_diagonal: whether it uses these entries, which the streaming protocol measures on training images.
        added: whether a report shows it only on request.
    """

    of: str
    heading: str
    short: str
    explanation: str
    compute: Compute | None = None
    narrow: str = ""
    measured: str | None = None
    unit: Literal["fraction", "s", "nats"] = "fraction"
    lower_is_better: bool = False
    on_or_below_diagonal: bool = False
    added: bool = False

    @property
    def title(self) -> str:
        """Its heading with its owner, so that CLEAR's and GEM's transfers cannot be confused."""
        return f"{self.owner} {self.heading}".strip()

    @property
    def owner(self) -> str:
        """Its owner if that has to be shown: "" for CLEAR's own numbers."""
        return "" if self.of == "CLEAR" else self.of


def _below(matrix: Matrix) -> Matrix:
    rows, columns = np.indices(matrix.shape)
    return matrix[columns < rows]


def _above(matrix: Matrix) -> Matrix:
    rows, columns = np.indices(matrix.shape)
    return matrix[columns > rows]


def _accuracy(matrix: Matrix, untrained: Matrix | None) -> float:
    rows, columns = np.indices(matrix.shape)
    return _mean(matrix[columns <= rows])


def _challenge(matrix: Matrix, untrained: Matrix | None) -> float:
    off_diagonal = (np.diagonal(matrix, offset=1), np.diagonal(matrix), _below(matrix), _above(matrix))
    return _mean(np.array([_mean(part) for part in off_diagonal]))


def _gem_bwt(matrix: Matrix, untrained: Matrix | None) -> float:
    last = len(matrix) - 1
    return _mean(matrix[last, :last] - np.diagonal(matrix)[:last])


def _gem_fwt(matrix: Matrix, untrained: Matrix | None) -> float | None:
    return None if untrained is None else _mean(np.diagonal(matrix, offset=1) - untrained[1:])


def _last_row(matrix: Matrix, untrained: Matrix | None) -> float:
    return _mean(matrix[-1])


def _diagonal(matrix: Matrix, untrained: Matrix | None) -> float:
    return _mean(np.diagonal(matrix))


def _area(curve: Matrix, untrained: Matrix | None) -> float:
    """The area under accuracy over samples: each test counts for the samples since the previous test."""
    samples, accuracies = curve.T
    return float(np.average(accuracies, weights=np.diff(samples, prepend=0)))


def _of_probabilities(name: str, words: str, over: str, compute: Compute) -> Number:
    """The mean of a metric of probabilities that the tests of each bucket measured."""
    at_end = compute is _last_row
    return Number(
        "",
        name if at_end else f"{name} in-domain",
        f"{name}\nlast" if at_end else f"{name} in-\ndomain",
        f"{words} {over}",
        compute,
        measured=name,
        unit="nats" if name == "NLL" else "fraction",
        lower_is_better=name != "AUROC",
        on_or_below_diagonal=True,
    )


# In the order of tables. CLEAR's are those of Lin et al., NeurIPS 2021, section 5; GEM's of Lopez-Paz and Ranzato,
# NeurIPS 2017, not to be mixed with CLEAR's transfers, which are plain means of accuracies; the challenge is that of
# CVPR'22.
NUMBERS: dict[str, Number] = {
    "in_domain": Number(
        "CLEAR",
        "in-domain",
        "in-\ndomain",
        "mean of the diagonal",
        _diagonal,
        on_or_below_diagonal=True,
    ),
    "next_domain": Number(
        "CLEAR",
        "next-domain",
        "next-\ndomain",
        "mean just right of the diagonal: the next bucket",
        lambda matrix, untrained: _mean(np.diagonal(matrix, offset=1)),
    ),
    "accuracy": Number(
        "CLEAR",
        "accuracy",
        "accu-\nracy",
        "mean of the diagonal and below",
        _accuracy,
        on_or_below_diagonal=True,
    ),
    "backward_transfer": Number(
        "CLEAR",
        "backward transfer",
        "backward\ntransfer",
        "mean below the diagonal: buckets seen before",
        lambda matrix, untrained: _mean(_below(matrix)),
        narrow="backward tr.",
        on_or_below_diagonal=True,
    ),
    "forward_transfer": Number(
        "CLEAR",
        "forward transfer",
        "forward\ntransfer",
        "mean above the diagonal: buckets not seen yet",
        lambda matrix, untrained: _mean(_above(matrix)),
        narrow="forward tr.",
    ),
    "challenge": Number(
        "CLEAR",
        "challenge",
        "chal-\nlenge",
        "score of the CVPR'22 challenge: mean of next-domain, in-domain, backward and forward",
        _challenge,
        on_or_below_diagonal=True,
        added=True,
    ),
    "final_domain": Number(
        "CLEAR",
        "final domain",
        "final\ndomain",
        "mean of the last column: the last bucket, by every model",
        lambda matrix, untrained: _mean(matrix[:, -1]),
        on_or_below_diagonal=True,
        added=True,
    ),
    "gem_bwt": Number(
        "GEM",
        "BWT",
        "GEM\nBWT",
        "how much the last model lost or gained on earlier buckets",
        _gem_bwt,
        on_or_below_diagonal=True,
    ),
    "gem_fwt": Number(
        "GEM", "FWT", "GEM\nFWT", "next bucket before training on it, over the untrained model", _gem_fwt
    ),
    # Koh et al., ICLR 2022, whose code (github.com/naver-ai/i-Blurry) takes the mean of tests at regular numbers of
    # samples.
    "anytime_accuracy": Number(
        "",
        "anytime accuracy",
        "any-\ntime",
        "area under accuracy over samples seen, on the buckets so far",
        _area,
        measured="anytime",
        on_or_below_diagonal=True,
    ),
    "ece": _of_probabilities("ECE", "expected calibration error", "of the last model, over all buckets", _last_row),
    "ece_in_domain": _of_probabilities("ECE", "expected calibration error", "over the diagonal", _diagonal),
    "nll": _of_probabilities(
        "NLL", "negative log-likelihood in nats", "of the last model, over all buckets", _last_row
    ),
    "nll_in_domain": _of_probabilities("NLL", "negative log-likelihood in nats", "over the diagonal", _diagonal),
    "auroc": _of_probabilities(
        "AUROC", "confidence against classes left out", "of the last model, over all buckets", _last_row
    ),
    "auroc_in_domain": _of_probabilities(
        "AUROC", "confidence against classes left out", "over the diagonal", _diagonal
    ),
    "training_s": Number(
        "",
        "training (s)",
        "training\n(s)",
        "seconds of all epochs, without the tests",
        unit="s",
        lower_is_better=True,
    ),
}

HEADLINE = "accuracy"  # the number shown if there is room for only one


def compute_numbers(
    matrix: Matrix,
    untrained: Matrix | None = None,
    *,
    of: str | None = None,
    added: bool | None = None,
    measured: Mapping[str, Matrix] | None = None,
) -> dict[str, float]:
    """{name: value} of a square matrix R [N, N]: all numbers, those of one owner (`of`), or those `added` or not.

    `untrained` [N] is the accuracy of the model before any training on each bucket; without it GEM's FWT is left out.
    `measured` are other matrices (`measured.measured_matrices`); numbers that need a missing one are left out.
    A number without entries to average, such as every off-diagonal one for N = 1, is NaN.
    Raises ValueError for a matrix that is not square.
    """
    square(matrix)
    found = {}
    for name, number in NUMBERS.items():
        given = matrix if number.measured is None else (measured or {}).get(number.measured)
        if (
            of in (None, number.of)
            and added in (None, number.added)
            and number.compute is not None
            and given is not None
        ):
            value = number.compute(given, untrained)
            if value is not None:
                found[name] = value
    return found


class Summary(ShortRepr):
    """Base of results with summary numbers: `numbers` {name: value}, without the `added` ones; empty until known."""

    numbers: dict[str, float]

    @property
    def clear_metrics(self) -> dict[str, float]:
        """CLEAR's five numbers."""
        return by_owner(self.numbers)["CLEAR"]

    @property
    def gem_metrics(self) -> dict[str, float]:
        """GEM's BWT and, if the accuracies before any training are known, its FWT."""
        return by_owner(self.numbers)["GEM"]


def by_owner(numbers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """{"CLEAR": {name: value}, "GEM": ..., "": ...}: `numbers` by owner.

    Includes owners without numbers among them, unless all of theirs need extra measurements.
    """
    known = {name: number for name, number in NUMBERS.items() if number.compute is not None and not number.added}
    owners = dict.fromkeys(number.of for name, number in known.items() if number.measured is None or name in numbers)
    return {of: {name: numbers[name] for name in known if known[name].of == of and name in numbers} for of in owners}


def to_json(numbers: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """{"clear_metrics": {name: value}, "gem_metrics": ...}: `numbers` as in eval.json and `--json`."""
    return {_key(of): found for of, found in by_owner(numbers).items()}


def from_json(content: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in the content of eval.json; null is NaN."""
    parts = (content.get(_key(of)) or {} for of in dict.fromkeys(number.of for number in NUMBERS.values()))
    return {name: float("nan") if value is None else value for part in parts for name, value in part.items()}


def _key(of: str) -> str:
    return f"{(of or 'other').lower()}_metrics"


def square(matrix: Matrix) -> None:
    """Raise ValueError unless `matrix` is [N, N] with N ≥ 1."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"an accuracy matrix is square, this one has shape {matrix.shape}")


def _mean(values: Matrix) -> float:
    return float(values.mean()) if values.size else float("nan")
