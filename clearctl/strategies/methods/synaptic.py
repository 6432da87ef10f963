"""Synaptic intelligence, on the device of the strategy."""

from collections.abc import Sequence

import torch
from avalanche.training.plugins import SynapticIntelligencePlugin as AvalancheSynapticIntelligencePlugin
from torch import nn

from clearctl.strategies.strategy import Strategy

CAP = 0.001  # Avalanche's


class SynapticIntelligencePlugin(AvalancheSynapticIntelligencePlugin):
    """Synaptic intelligence (Zenke et al., ICML 2017): each weight is held back as far as moving it lowered the loss.

    In a bucket, a weight's contribution is the sum over steps of -gradient * movement. After the bucket its importance
    grows by the contribution divided by its squared movement over the bucket plus `eps` (the paper's xi). The loss gets
    `si_lambda` / 2 times the sum over weights of importance * (weight - weight at the end of the bucket before)^2, so
    that the paper's c is `si_lambda` / 2. Importances below zero, which would push weights away, count as zero.

    `max_importance` caps them, as Avalanche does at 0.001: with `si_lambda` up to 1 the penalty is then so small that
    training is plain fine-tuning. None leaves them as in the paper.

    Avalanche differs in two more points: it stores weights by `param.detach().cpu().flatten()`, which on the CPU is the
    live weight itself, so that every importance is 0, and waits on a GPU for five copies a parameter and step; it
    bounds importances only from above. Parameters that are not trained have no gradient to follow, and are left out.
    """

    max_importance: float | None = CAP  # the value in states that were saved before there was a choice

    def __init__(
        self, si_lambda: float | Sequence[float], eps: float = 1e-7, max_importance: float | None = CAP
    ) -> None:
        super().__init__(si_lambda=si_lambda, eps=eps)
        if max_importance is not None and not max_importance > 0:
            raise ValueError(f"max_importance is {max_importance}, expected a positive number or None")
        self.max_importance = max_importance

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Remember the weights that the bucket starts with."""
        fixed = {name for name, parameter in strategy.model.named_parameters() if not parameter.requires_grad}
        self.excluded_parameters |= fixed
        self.create_syn_data(strategy.model, self.ewc_data, self.syn_data, self.excluded_parameters)
        remembered = [*self.ewc_data, self.syn_data["trajectory"], self.syn_data["cum_trajectory"]]
        for value in (value for group in remembered for value in group.values()):
            value.data = value.data.to(strategy.device)
        for name, weights in self._weights(strategy.model):
            self.ewc_data[0][name].data = weights.clone()
            self.syn_data["trajectory"][name].data.zero_()

    def before_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Remember the weights that the step starts with."""
        for name, weights in self._weights(strategy.model):
            self.syn_data["old_theta"][name].data = weights.clone()

    @torch.no_grad()
    def after_training_iteration(self, strategy: Strategy, **kwargs: object) -> None:
        """Add gradient times movement of the step to each weight's trajectory."""
        parameters = dict(strategy.model.named_parameters())
        for name, weights in self._weights(strategy.model):
            moved = weights - self.syn_data["old_theta"][name].data
            gradient = parameters[name].grad
            assert gradient is not None
            self.syn_data["trajectory"][name].data += gradient.flatten() * moved

    @torch.no_grad()
    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Turn the trajectories of the bucket into importances."""
        for name, weights in self._weights(strategy.model):
            total = self.syn_data["cum_trajectory"][name]
            moved = weights - self.ewc_data[0][name].data
            total.data += self.syn_data["trajectory"][name].data / (moved.square() + self.eps)
            self.ewc_data[1][name].data = (-total.data).clamp(min=0, max=self.max_importance)
            self.ewc_data[0][name].data = weights.clone()

    def _weights(self, model: nn.Module) -> list[tuple[str, torch.Tensor]]:
        """(name, flat weights that share the parameter's memory) of the parameters that are followed."""
        followed = self.allowed_parameters(model, self.excluded_parameters)
        return [(name, parameter.detach().flatten()) for name, parameter in followed]
