"""Tests during training (`eval_every`, `eval_every_steps`) that do not change the training."""

from collections.abc import Iterator
from contextlib import contextmanager

from avalanche.training.templates.base_sgd import PeriodicEval

from clearctl.distributed.randomness import preserve_random_states
from clearctl.strategies.strategy import Strategy

# The attributes of a training step, which Avalanche empties at the end of a test.
_OF_THE_STEP = ("adapted_dataset", "dataloader", "mbatch", "mb_output", "loss")


@contextmanager
def training_kept(strategy: Strategy) -> Iterator[None]:
    """A context in which the strategy may be tested: restores the random generators and the step in progress.

    A loader draws a number when it starts; in Avalanche a run that is tested more often learns other batches. The
    effects of a strategy's own tests remain: FeatureReplay draws from its memory there.
    """
    kept = {name: getattr(strategy, name) for name in _OF_THE_STEP}
    with preserve_random_states(own=True):
        yield
    for name, value in kept.items():
        setattr(strategy, name, value)


def preserve_training_in_tests(strategy: Strategy) -> None:
    """Restore the training's state after each test of `eval_every`, so that tests do not change the weights."""
    plugin = next(plugin for plugin in strategy.plugins if isinstance(plugin, PeriodicEval))
    plain = plugin._peval

    def peval(strategy: Strategy, **loading: object) -> None:
        with training_kept(strategy):
            plain(strategy, **loading)

    plugin._peval = peval
