"""Avalanche's synaptic intelligence, made to work on the CPU and with frozen parts, and to stay on the device."""

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.training.plugins import SynapticIntelligencePlugin as AvalancheSynapticIntelligencePlugin

MOST_IMPORTANCE = 0.001  # Avalanche's cap


class SynapticIntelligencePlugin(AvalancheSynapticIntelligencePlugin):
    """Synaptic intelligence (Zenke et al., ICML 2017).

    Avalanche remembers weights by `param.detach().cpu().flatten()`, which on the CPU is the live weight itself: no
    step moves it away from what is remembered, every importance is 0 and training is plain fine-tuning. On a GPU it
    waits for five copies a parameter and step. Here what is remembered are copies on the strategy's device. Parameters
    that are not trained have no gradient to follow, and are left out.
    """

    def __init__(self, si_lambda: float | Sequence[float], eps: float = 1e-7) -> None:
        super().__init__(si_lambda=si_lambda, eps=eps)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
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

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights that the step starts with."""
        for name, weights in self._weights(strategy.model):
            self.syn_data["old_theta"][name].data = weights.clone()

    @torch.no_grad()
    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Add what the step did to the loss, gradient times movement, to each weight's trajectory."""
        parameters = dict(strategy.model.named_parameters())
        for name, weights in self._weights(strategy.model):
            moved = weights - self.syn_data["old_theta"][name].data
            self.syn_data["trajectory"][name].data += parameters[name].grad.flatten() * moved

    @torch.no_grad()
    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Turn the trajectories of the bucket into importances."""
        for name, weights in self._weights(strategy.model):
            total = self.syn_data["cum_trajectory"][name]
            moved = weights - self.ewc_data[0][name].data
            total.data += self.syn_data["trajectory"][name].data / (moved.square() + self.eps)
            self.ewc_data[1][name].data = (-total.data).clamp(max=MOST_IMPORTANCE)
            self.ewc_data[0][name].data = weights.clone()

    def _weights(self, model: Any) -> list[tuple[str, torch.Tensor]]:
        """(name, flat weights that share the parameter's memory) of the parameters that are followed."""
        followed = self.allowed_parameters(model, self.excluded_parameters)
        return [(name, parameter.detach().flatten()) for name, parameter in followed]
