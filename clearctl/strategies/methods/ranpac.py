"""RanPAC: ridge regression on randomly projected features."""

from collections.abc import Sequence
from typing import Any

from clearctl.models.heads import RandomProjectionHead
from clearctl.strategies.methods.closed_form import require_head
from clearctl.strategies.methods.ridge import VALIDATION, Ridge

LAMBDAS = tuple(10.0**power for power in range(-8, 9))


class RanPAC(Ridge):
    """RanPAC (McDonnell et al., NeurIPS 2023) without its first-session adaptation: Ridge on a RandomProjectionHead.

    The settings are the paper's and its code's (github.com/RanPAC/RanPAC): a projection of 10,000, and in each bucket
    the lambda of 10⁻⁸ to 10⁸ that has the least error on a fifth of the bucket's samples, with which the weights then
    follow from the samples of all buckets so far. The code holds out the last fifth of shuffled samples; here it is a
    fifth of each class. A number as `ridge_lambda` leaves the choice out.
    """

    def __init__(
        self,
        *,
        ridge_lambda: float | str = VALIDATION,
        lambdas: Sequence[float] = LAMBDAS,
        validate_every_bucket: bool = True,
        **others: Any,
    ) -> None:
        super().__init__(
            ridge_lambda=ridge_lambda, lambdas=lambdas, validate_every_bucket=validate_every_bucket, **others
        )
        require_head(self.model, RandomProjectionHead)
