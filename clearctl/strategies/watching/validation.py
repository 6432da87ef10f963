"""Tests the model on a bucket's validation images between two of its epochs."""

from typing import NamedTuple

import torch

from clearctl.distributed.randomness import preserve_random_states
from clearctl.strategies.loading.gather import in_order
from clearctl.strategies.strategy import Experience, Strategy, validation_stream


class Validation(NamedTuple):
    """The mean `loss` (no penalties of the strategy in it) and the `accuracy` over the validation part."""

    loss: float
    accuracy: float


@torch.no_grad()
def validate(strategy: Strategy, workers: int = 0) -> Validation:
    """Test `strategy.model` on the validation part of the bucket that is learned; of all buckets if all are at once.

    Nothing of it is seen by metrics, and every random generator and the model's train/eval mode stay as they were.
    Raises ValueError if the stream has no validation parts.
    """
    model, device = strategy.model, strategy.device
    loss = torch.zeros((), dtype=torch.float64, device=device)
    right, count = torch.zeros((), dtype=torch.int64, device=device), 0
    was_training = model.training
    model.eval()
    with preserve_random_states():
        for experience in _held_out(strategy):
            for x, y, *_ in in_order(experience.dataset.eval(), strategy.eval_mb_size, workers, device):
                labels = y.to(device)
                scores = model(x.to(device))
                loss += strategy._criterion(scores, labels) * len(labels)
                right += (scores.argmax(dim=1) == labels).sum()
                count += len(labels)
    model.train(was_training)
    return Validation(float(loss / count), int(right) / count)


def _held_out(strategy: Strategy) -> list[Experience]:
    learned = getattr(strategy, "_experiences", None) or [strategy.experience]  # JointTraining's, all of the stream
    held_out = validation_stream(learned[0].origin_stream.benchmark)
    if not held_out:
        raise ValueError("the stream has no validation parts: give scenario.validation")
    return [held_out[experience.current_experience] for experience in learned]
