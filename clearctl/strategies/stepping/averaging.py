"""Averages of weights: mmcv's EMAHook."""

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from clearctl.strategies.strategy import Strategy

AveragedWeights = dict[str, torch.Tensor]


class ExponentialMovingAverage(SupervisedPlugin):
    """Tests and keeps a running average of the weights instead of the weights that the optimizer steps.

    After each step the average moves towards the weights: average = decay * average + (1 - decay) * weight, so that
    mmcv's `momentum` is 1 - `decay`. In each bucket it starts at the weights that the bucket starts with. As with
    mmcv's EMAHook the average is what is tested and what a checkpoint holds, and training continues with the weights
    themselves, also in the next bucket. Only weights that are trained are averaged; running means of batch norms are
    those of training. The strategy's own work at the end of a bucket (a copy of the model, importances) sees the
    average.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} must be from 0 to below 1")
        self.decay = decay
        self.averages: AveragedWeights = {}
        self.trained: AveragedWeights = {}  # the weights themselves, while the model has the averages
        self.in_test = False  # in a test during a bucket

    def before_training(self, strategy: Strategy, **kwargs: object) -> None:
        """Continue with the weights that the optimizer steps, before a strategy prepares the bucket."""
        self._use_trained(strategy.model)

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Start the average of this bucket."""
        self.averages = {name: weight.detach().clone() for name, weight in _learned(strategy.model).items()}

    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Move the average."""
        weights = _learned(strategy.model)
        averages = [self.averages[name] for name in weights]
        get_ema_multi_avg_fn(self.decay)(averages, list(weights.values()), None)  # type: ignore[no-untyped-call]

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Give the model the average, for the test and the checkpoint."""
        self._use_averages(strategy.model)

    def before_eval(self, strategy: Strategy, **kwargs: object) -> None:
        """Test the average during a bucket too."""
        if self.averages and not self.trained:
            self.in_test = True
            self._use_averages(strategy.model)

    def after_eval(self, strategy: Strategy, **kwargs: object) -> None:
        """Continue with the bucket."""
        if self.in_test:
            self.in_test = False
            self._use_trained(strategy.model)

    @torch.no_grad()
    def _use_averages(self, model: nn.Module) -> None:
        if self.trained:
            return
        for name, weight in _learned(model).items():
            self.trained[name] = weight.detach().clone()
            weight.copy_(self.averages[name])

    @torch.no_grad()
    def _use_trained(self, model: nn.Module) -> None:
        weights = _learned(model)
        for name, value in self.trained.items():
            weights[name].copy_(value)
        self.trained = {}


def _learned(model: nn.Module) -> AveragedWeights:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
