"""Ridge regression onto one-hot labels, over all samples so far."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from clearctl.data.pixels import without_waiting
from clearctl.errors import ConfigError
from clearctl.strategies.methods.closed_form import ClosedForm, require_linear
from clearctl.strategies.methods.held_out import held_out
from clearctl.strategies.methods.moments import Moments, solve_positive

VALIDATION = "validation"
LAMBDAS = tuple(10.0**power for power in range(-2, 7))


class Ridge(ClosedForm):
    """Ridge regression of the features onto one-hot labels, over all samples so far: recursive least squares.

    With `G = Σ x xᵀ` and `Q = Σ x yᵀ` over all samples, the weights are `(G + ridge_lambda I)⁻¹ Q` and the bias is 0.
    `ridge_lambda='validation'` chooses the number of `lambdas` whose solution, from the other samples of the bucket,
    has the least mean squared error on `validation_share` of each class of the bucket's training samples, drawn by
    `validation_seed`; then all samples count. It is chosen in the first bucket or, with `validate_every_bucket`, again
    in each. `accumulate` is the dtype in which products are added up and the equation is solved.
    """

    def __init__(
        self,
        *,
        ridge_lambda: float | str = VALIDATION,
        lambdas: Sequence[float] = LAMBDAS,
        validation_share: float = 0.2,
        validate_every_bucket: bool = False,
        validation_seed: int = 0,
        accumulate: str = "float32",
        **others: Any,
    ) -> None:
        super().__init__(**others)
        require_linear(self.model)
        if not lambdas:
            raise ValueError("lambdas is empty: give the numbers to choose from")
        self.ridge_lambda = None if ridge_lambda == VALIDATION else float(ridge_lambda)
        self.lambdas = [float(number) for number in lambdas]
        self.validation_share = validation_share
        self.validate_every_bucket = validate_every_bucket
        self.validation_seed = validation_seed
        self.solved_lambda = self.ridge_lambda  # of the latest solution; None before the first choice
        self.accumulate = accumulate
        self.moments = self.no_samples(accumulate)
        # Of a bucket that chooses: which samples are held out [N] bool (CPU), those so far, and sums of the others.
        self.held_out: torch.Tensor | None = None
        self.validation: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.others: Moments | None = None
        self.taken = 0

    def begin_bucket(self) -> None:
        """Draw which samples are held out, if this bucket is to choose. Raises ConfigError if there is none to draw."""
        self.taken, self.held_out, self.validation, self.others = 0, None, [], None
        if self.ridge_lambda is not None or (self.solved_lambda is not None and not self.validate_every_bucket):
            return
        y = torch.tensor(list(self.adapted_dataset.targets))
        seed = self.validation_seed + self.experience.current_experience
        self.held_out = held_out(y, self.validation_share, seed)
        if not self.held_out.any():
            raise ConfigError(
                f"cl_strategy.ridge_lambda: found 'validation', but bucket {self.experience.current_experience + 1} has"
                f" no class with two samples, one of them to hold out\ngive a number, such as 1.0"
            )
        self.others = self.no_samples(self.accumulate)

    def add(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Add up features and their products; in a bucket that chooses, of those held out and the others."""
        if self.others is None:
            self.moments.add(features, y)
            return
        assert self.held_out is not None
        out = self.held_out[self.taken : self.taken + len(y)]
        self.taken += len(y)
        # Row numbers from the CPU, where they are known: a mask on a GPU would be waited for.
        out, others = (without_waiting(rows.nonzero().flatten(), y.device) for rows in (out, ~out))
        self.validation.append((features[out], y[out]))
        self.others.add(features[others], y[others])

    def write_head(self) -> None:
        """Choose the lambda, if this bucket is to, then solve. Raises ConfigError if there is no solution."""
        if self.others is not None:
            self.solved_lambda = choose(self.lambdas, self.others, self.validation)
            self.moments.merge(self.others)
            for features, y in self.validation:
                self.moments.add(features, y)
            self.held_out, self.validation, self.others = None, [], None
        assert self.solved_lambda is not None
        weight = solve_ridge(self.moments, self.solved_lambda)
        if weight is None:
            raise ConfigError(
                f"cl_strategy.ridge_lambda: found {self.solved_lambda:g}, for which G + lambda I of"
                f" {int(self.moments.counts.sum())} samples of {self.layer.weight.shape[1]} numbers is singular\n"
                "give a larger value, or accumulate='float64', which rounds less"
            )
        self.layer.weight.copy_(weight.T)
        self.layer.bias.zero_()


def solve_ridge(moments: Moments, ridge_lambda: float) -> torch.Tensor | None:
    """`(G + ridge_lambda I)⁻¹ Q`, [D, C]; None if that is singular."""
    gram = moments.gram()
    gram.diagonal().add_(ridge_lambda)
    return solve_positive(gram, moments.sums.T)


def choose(
    lambdas: Sequence[float], learned: Moments, validation: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> float:
    """The one of `lambdas` whose solution from `learned` has the least squared error on `validation`.

    Those are batches of features `[B, D]` and class indices `[B]`. The errors are of the samples themselves: computed
    from sums they would be lost in rounding if weights are large. If nothing has a solution it is the largest.
    """
    errors: dict[float, float] = {}
    for number in lambdas:
        weight = solve_ridge(learned, number)
        if weight is None:
            continue
        error = torch.zeros((), dtype=torch.float64, device=weight.device)
        for features, y in validation:
            scores = features.to(weight.dtype) @ weight  # [B, C]
            error += (scores - nn.functional.one_hot(y, scores.shape[1])).double().square().sum()
        if error.isfinite():
            errors[number] = float(error)
    return min(errors, key=lambda number: errors[number]) if errors else max(lambdas)
