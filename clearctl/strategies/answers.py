"""The meaning of a trained network's scores, and whether its weights alone give the answers of the run's tests."""

from avalanche.core import BaseSGDPlugin

from clearctl.config.settings import Settings
from clearctl.strategies.strategy import Strategy
from clearctl.strategies.traits import traits_of

# Losses by which a network learns that the softmax of its scores are probabilities; None is the strategies' own.
_SOFTMAX = (None, "CrossEntropyLoss", "LabelSmoothLoss", "SeesawLoss")
_IN_TESTS = ("before_eval_forward", "after_eval_forward")
# Whose strategies answer in a test as the network does: what StreamingLDA overrides is for training alone.
_LIBRARIES = ("avalanche.", "clearctl.")


def changes_answers(strategy: Strategy) -> str | None:
    """The strategy or plugin that makes other answers of the network's in a test; None if there is none."""
    for name in ("forward", "eval_epoch"):
        giver = next(each for each in type(strategy).__mro__ if name in vars(each))
        if not giver.__module__.startswith(_LIBRARIES):
            return type(strategy).__name__
    for plugin in strategy.plugins:
        if any(getattr(type(plugin), name, None) not in (None, getattr(BaseSGDPlugin, name)) for name in _IN_TESTS):
            return type(plugin).__name__
    return None


def why_no_probabilities(settings: Settings) -> str | None:
    """A description of the scores of the run's network, if their softmax is not a probability; None if it is.

    It is one where the network has learned by cross-entropy, or a discriminant has been solved for.
    """
    strategy = settings.strategy.call.type
    scores = traits_of(strategy).scores
    if scores is not None:
        return f"the scores of {strategy} are {scores}, not probabilities"
    loss = settings.strategy.loss
    entry = settings.model.head_loss if loss is None else loss.entry
    name = None if entry is None else str(entry["type"])
    sigmoid = entry is not None and (entry.get("use_sigmoid") or entry.get("mode") == "multi_label")
    if name not in _SOFTMAX or sigmoid:
        return f"the network was trained by {name}{' with a sigmoid' if sigmoid else ''}: scores are not probabilities"
    return None
