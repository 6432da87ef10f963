"""Tests during training (`eval_every`) leave the random generators as they were."""

from avalanche.training.templates.base_sgd import PeriodicEval

from clearctl.distributed.randomness import preserve_random_states
from clearctl.strategies.strategy import Strategy


def preserve_generators_in_tests(strategy: Strategy) -> None:
    """Put the generators back after each test during training, so that `eval_every` does not change the weights.

    A loader draws a number when it starts; in Avalanche a run that is tested more often learns other batches. What a
    strategy itself does in a test stays: FeatureReplay draws from its memory there.
    """
    plugin = next(plugin for plugin in strategy.plugins if isinstance(plugin, PeriodicEval))
    plain = plugin._peval

    def peval(strategy: Strategy, **loading: object) -> None:
        with preserve_random_states(own=True):
            plain(strategy, **loading)

    plugin._peval = peval
