"""Learning rates that rise over the first steps of a bucket: mmcv's `lr_config=dict(warmup='linear', ...)`."""

import torch
from avalanche.training.plugins import SupervisedPlugin

from clearctl.strategies.strategy import Strategy


class WarmUp(SupervisedPlugin):
    """Multiplies the learning rate by a factor that rises from `start_factor` to 1 over the first `steps` steps.

    The rise is linear: step i, counted from 0, has the factor 1 - (1 - i / steps) * (1 - start_factor), as mmcv's
    linear warm-up has it. With `every_bucket` each bucket warms up, else the first alone. The factor counts in the
    optimizer's step only: a scheduler, which may step in the meantime, sees the learning rates without it.
    """

    def __init__(self, steps: int, start_factor: float = 0.001, every_bucket: bool = True) -> None:
        super().__init__()
        if steps < 1 or not 0 < start_factor <= 1:
            raise ValueError(f"expected steps from 1 and a start_factor from 0 to 1, found {steps} and {start_factor}")
        self.steps = steps
        self.start_factor = start_factor
        self.every_bucket = every_bucket
        self.done = 0
        self._nominal: list[float | torch.Tensor] = []  # the learning rates of the groups without the factor

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start a bucket."""
        if self.every_bucket:
            self.done = 0

    def before_update(self, strategy: Strategy, **kwargs: object) -> None:
        """Lower the learning rates for this step."""
        groups = strategy.optimizer.param_groups
        self._nominal = [group["lr"] for group in groups]
        if self.done < self.steps:
            factor = 1 - (1 - self.done / self.steps) * (1 - self.start_factor)
            for group in groups:
                group["lr"] = group["lr"] * factor
        self.done += 1

    def after_update(self, strategy: Strategy, **kwargs: object) -> None:
        """Put the learning rates back."""
        for group, rate in zip(strategy.optimizer.param_groups, self._nominal, strict=True):
            group["lr"] = rate
