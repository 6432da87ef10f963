"""One training step of all runs of a stack."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import Heads, Penalty, of_each_run
from clearctl.engine.stack.optimize import Stepper
from clearctl.engine.stack.reference import projected, reference_gradients
from clearctl.strategies.lockstep import Tensors


@dataclass(frozen=True)
class Step:
    """Trains on a batch: updates the weights of the `heads` and the states of the `stepper` in place, without waiting.

    If there are `trajectories`, each weight's gradient times its movement is added to them.

    Everything that a step reads except its arguments keeps its memory, and its Python code depends only on the
    stepper's `branches` and the shapes of its arguments, so it can be captured in a CUDA graph.
    """

    features: Features
    heads: Heads
    penalties: Sequence[Penalty]
    stepper: Stepper
    trajectories: Tensors | None = None

    def __call__(self, rows: torch.Tensor, y: torch.Tensor, *memory: torch.Tensor) -> torch.Tensor:
        """Take a step on batches: `rows` and labels `y`, both `[G, B]` (see `heads`). Returns the result of `counted`.

        With A-GEM `memory` is the rows and the labels, both `[G, M]`, of the samples of the reference gradients.
        """
        references = reference_gradients(self.heads, self.features, *memory) if memory else None
        y = of_each_run(y, len(self.stepper.weights[0]))
        found, loss, gradients = self.heads.gradients(self.features.take(rows), y, self.penalties)
        with torch.no_grad():
            if references is not None:
                gradients = projected(gradients, references)
            self._move(gradients)
        return counted(found, y, loss)

    def _move(self, gradients: Sequence[torch.Tensor]) -> None:
        if self.trajectories is None:
            self.stepper.step(gradients)
            return
        before = [weight.clone() for weight in self.stepper.weights]
        self.stepper.step(gradients)
        moves = zip(self.trajectories.values(), gradients, self.stepper.weights, before, strict=True)
        for trajectory, gradient, weight, old in moves:
            trajectory.addcmul_(gradient, weight - old)


def counted(found: torch.Tensor, y: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """`[2, R]`: the `loss` of each run's batch, and the number of correct scores of `found [R, B, C]`."""
    return torch.stack([loss, (found.argmax(2) == y).sum(1, dtype=loss.dtype)])
