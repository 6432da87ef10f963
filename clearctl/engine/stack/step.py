"""One step of training of all runs of a stack."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import Heads, Penalty, of_each_run
from clearctl.engine.stack.optimize import Stepper


@dataclass(frozen=True)
class Step:
    """Learns a batch: changes the weights of the `heads` and what the `stepper` keeps in place, and waits for nothing.

    All that it reads but its arguments stays where it is in memory, and what it does in Python depends on nothing but
    the stepper's `branches`: so it may be captured in a CUDA graph.
    """

    features: Features
    heads: Heads
    penalties: Sequence[Penalty]
    stepper: Stepper

    def __call__(self, rows: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Of the batches' `rows` and labels `y`, both `[G, B]` (see `heads`), what `counted` gives."""
        y = of_each_run(y, len(self.stepper.weights[0]))
        found, loss, gradients = self.heads.gradients(self.features.take(rows), y, self.penalties)
        with torch.no_grad():
            self.stepper.step(gradients)
        return counted(found, y, loss)


def counted(found: torch.Tensor, y: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """`[2, R]`: the `loss` of each run's batch, and its number of right answers in the scores `found [R, B, C]`."""
    return torch.stack([loss, (found.argmax(2) == y).sum(1, dtype=loss.dtype)])
