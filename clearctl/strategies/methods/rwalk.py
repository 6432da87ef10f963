"""Riemannian walk, with the network in train mode."""

from avalanche.training.plugins import RWalkPlugin as AvalancheRWalkPlugin

from clearctl.strategies.strategy import Strategy


class RWalkPlugin(AvalancheRWalkPlugin):
    """Riemannian Walk (Chaudhry et al., ECCV 2018).

    Each step takes the gradient of the plain loss in eval mode first, and Avalanche then learns in eval mode too:
    without dropout, and with batch norms whose running means never move. The first bucket needs `delta_t` steps, after
    which scores are added up.
    """

    def before_training_iteration(self, strategy: Strategy, *args: object, **kwargs: object) -> None:
        """Take the gradient without penalties, and go back to the mode that there was."""
        was_training = strategy.model.training
        super().before_training_iteration(strategy, *args, **kwargs)
        strategy.model.train(was_training)
