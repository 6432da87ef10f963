"""A loss with state, such as SeesawLoss, which is updated in training steps only."""

from collections.abc import Callable

from torch import nn

from clearctl.strategies.strategy import Strategy


def train_loss_only_in_steps(strategy: Strategy) -> None:
    """Put a loss with buffers in eval mode for every call except in a training step.

    Other calls are those of tests, of A-GEM's and GEM's memories and of the importances of EWC and MAS: what the loss
    counts there would make the weights depend on how often one tests. The steps of MER are its inner updates.
    """
    loss = getattr(strategy, "_criterion", None)
    if not isinstance(loss, nn.Module) or next(loss.buffers(), None) is None:
        return
    loss.eval()

    def learning(plain: Callable[..., object]) -> Callable[..., object]:
        def call(**arguments: object) -> object:
            loss.train(strategy.is_training)
            try:
                return plain(**arguments)
            finally:
                loss.eval()

        return call

    for name in ("criterion", "_inner_updates"):
        if hasattr(strategy, name):
            setattr(strategy, name, learning(getattr(strategy, name)))
