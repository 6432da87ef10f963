"""Gradient clipping: mmcv's `optimizer_config=dict(grad_clip=...)`."""

from avalanche.training.plugins import SupervisedPlugin
from torch.nn.utils import clip_grad_norm_

from clearctl.strategies.strategy import Strategy


class GradientClipping(SupervisedPlugin):
    """Scales the gradients of a step so that their norm, over all weights, is at most `max_norm`.

    It acts last before the optimizer's step, after whatever the strategy itself does to gradients (A-GEM's and GEM's
    projections). `norm_type` is the p of the norm, `inf` for the largest gradient.
    """

    def __init__(self, max_norm: float, norm_type: float = 2.0) -> None:
        super().__init__()
        if max_norm <= 0 or norm_type <= 0:
            raise ValueError(f"max_norm={max_norm} and norm_type={norm_type} must be positive")
        self.max_norm = max_norm
        self.norm_type = norm_type

    def before_update(self, strategy: Strategy, **kwargs: object) -> None:
        """Clip, by torch.nn.utils.clip_grad_norm_, which does not wait for the device."""
        learned = [weight for group in strategy.optimizer.param_groups for weight in group["params"]]
        clip_grad_norm_(learned, self.max_norm, self.norm_type)
