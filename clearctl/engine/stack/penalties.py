"""Terms of the losses of several runs: LwF's distillation, and the quadratic penalties of EWC and SI."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional

from clearctl.engine.stack.heads import WEIGHT, numbers, scores, stacked
from clearctl.strategies.lockstep import LwFTerm, QuadraticTerm, Tensors


@dataclass(frozen=True)
class LwFPenalty:
    """LwF's penalty: the weights of the bucket before, and `alpha [R]`, `softness [R, 1, 1]` of each run.

    `classes` are the compared ones, None for all.
    """

    weights: Tensors
    temperature: torch.Tensor | None
    classes: torch.Tensor | None
    alpha: torch.Tensor
    softness: torch.Tensor

    @classmethod
    def of(cls, runs: Sequence[LwFTerm], temperature: torch.Tensor | None, device: torch.device) -> "LwFPenalty":
        """The penalty of runs that have the same classes."""
        classes = runs[0].classes
        every = len(classes) == len(runs[0].weights[WEIGHT])
        return cls(
            stacked([run.weights for run in runs], device),
            temperature,
            None if every else torch.tensor(classes, device=device),
            numbers([run.alpha for run in runs], device),
            numbers([run.temperature for run in runs], device)[:, None, None],
        )

    def __call__(self, weights: Tensors, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """`[R]`, for scores `found [R, B, C]` of `x [G, B, D]`; as Avalanche's LearningWithoutForgetting."""
        with torch.no_grad():
            old = scores(self.weights, x, self.temperature)
            aims = torch.softmax(self._compared(old) / self.softness, dim=2)
        have = torch.log_softmax(self._compared(found) / self.softness, dim=2)
        divergence = functional.kl_div(have, aims, reduction="none").sum((1, 2)) / found.shape[1]
        return self.alpha * divergence

    def _compared(self, found: torch.Tensor) -> torch.Tensor:
        return found if self.classes is None else found.index_select(2, self.classes)


@dataclass(frozen=True)
class QuadraticPenalty:
    """The penalty of EWC and of synaptic intelligence.

    Weights and importances `[R, E, ...]` are of E earlier buckets, `strength [R]` of each run.
    """

    weights: Tensors
    importances: Tensors
    strength: torch.Tensor

    @classmethod
    def of(cls, runs: Sequence[QuadraticTerm], device: torch.device) -> "QuadraticPenalty":
        """The penalty of runs that have the same number of earlier buckets."""
        return cls(
            stacked([run.weights for run in runs], device),
            stacked([run.importances for run in runs], device),
            numbers([run.strength for run in runs], device),
        )

    def __call__(self, weights: Tensors, x: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """`[R]`, for the current `weights`."""
        total = torch.zeros_like(self.strength)
        for name, weight in weights.items():
            distance = (weight[:, None] - self.weights[name]).square()
            total = total + (self.importances[name] * distance).flatten(1).sum(1)
        return self.strength * total
