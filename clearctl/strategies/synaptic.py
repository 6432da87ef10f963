"""Avalanche's synaptic intelligence, made to work on the CPU and with frozen parts."""

from collections.abc import Sequence
from typing import Any

from avalanche.training.plugins import SynapticIntelligencePlugin as AvalancheSynapticIntelligencePlugin


class SynapticIntelligencePlugin(AvalancheSynapticIntelligencePlugin):
    """Synaptic intelligence (Zenke et al., ICML 2017).

    Avalanche remembers weights by `param.detach().cpu().flatten()`, which on the CPU is the live weight itself: no
    step moves it away from what is remembered, every importance is 0 and training is plain fine-tuning. Here they are
    copies. Parameters that are not trained have no gradient to follow, and are left out.
    """

    def __init__(self, si_lambda: float | Sequence[float], eps: float = 1e-7) -> None:
        super().__init__(si_lambda=si_lambda, eps=eps)

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights that the bucket starts with."""
        fixed = {name for name, parameter in strategy.model.named_parameters() if not parameter.requires_grad}
        self.excluded_parameters |= fixed
        super().before_training_exp(strategy, **kwargs)
        _copy(self.ewc_data[0])

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Remember the weights that the step starts with."""
        super().before_training_iteration(strategy, **kwargs)
        _copy(self.syn_data["old_theta"])


def _copy(remembered: dict[str, Any]) -> None:
    for value in remembered.values():
        value.data = value.data.clone()
