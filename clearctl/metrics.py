"""Summary numbers of an accuracy matrix. Needs numpy only.

R[i, j] is the accuracy (0 to 1) on the test set of bucket j after training on buckets 0..i.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

# The names of the numbers that have entries on or below the diagonal of the matrix, and of those that have none.
BELOW_DIAGONAL = frozenset({"in_domain", "accuracy", "backward_transfer", "gem_bwt", "challenge", "final_domain"})
ABOVE_DIAGONAL = frozenset({"next_domain", "forward_transfer", "gem_fwt"})


def clear_metrics(matrix: Matrix) -> dict[str, float]:
    """CLEAR's five numbers (Lin et al., NeurIPS 2021, section 5) of a square matrix R [N, N].

    A number that has no entry to average, as every one off the diagonal for N = 1, is NaN.
    Raises ValueError for a matrix that is not square.
    """
    square(matrix)
    rows, columns = np.indices(matrix.shape)
    return {
        "in_domain": _mean(np.diagonal(matrix)),
        "next_domain": _mean(np.diagonal(matrix, offset=1)),
        "accuracy": _mean(matrix[columns <= rows]),
        "backward_transfer": _mean(matrix[columns < rows]),
        "forward_transfer": _mean(matrix[columns > rows]),
    }


def challenge_score(numbers: Mapping[str, float]) -> float:
    """The score of CLEAR's challenge at CVPR'22: the mean of these four of `clear_metrics`."""
    parts = ("next_domain", "in_domain", "backward_transfer", "forward_transfer")
    return _mean(np.array([numbers[name] for name in parts]))


def added_metrics(matrix: Matrix) -> dict[str, float]:
    """What others have reported of R [N, N] besides: the challenge's score, and the mean of its last column."""
    return {"challenge": challenge_score(clear_metrics(matrix)), "final_domain": _mean(matrix[:, -1])}


def gem_metrics(matrix: Matrix, untrained: Matrix | None = None) -> dict[str, float]:
    """BWT and FWT as GEM defines them (Lopez-Paz and Ranzato, NeurIPS 2017), of R [N, N].

    `untrained` [N] is the accuracy of the model before any training on each bucket; without it FWT is left out.
    Not to be mixed with CLEAR's backward and forward transfer, which are plain means of accuracies.
    """
    square(matrix)
    last = len(matrix) - 1
    diagonal = np.diagonal(matrix)
    result = {"gem_bwt": _mean(matrix[last, :last] - diagonal[:last])}
    if untrained is not None:
        result["gem_fwt"] = _mean(np.diagonal(matrix, offset=1) - untrained[1:])
    return result


def square(matrix: Matrix) -> None:
    """Raise ValueError unless `matrix` is [N, N] with N ≥ 1."""
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"an accuracy matrix is square, this one has shape {matrix.shape}")


def _mean(values: Matrix) -> float:
    return float(values.mean()) if values.size else float("nan")
