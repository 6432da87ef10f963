"""Classes that a config may name, with signatures and results that need care."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Optional

import torch
from avalanche.training.plugins import SupervisedPlugin
from torch import nn

if TYPE_CHECKING:
    from decimal import Decimal


class Typed(SupervisedPlugin):
    """Its annotations are text, and one of them cannot be evaluated."""

    def __init__(
        self,
        strength: float = 0.1,
        mode: Literal["mean", "sum"] = "mean",
        layers: list[int] = [],  # noqa: B006
        size: Optional[int] = None,  # noqa: UP045
        other: Decimal | None = None,
    ) -> None:
        super().__init__()


class TakesAny(SupervisedPlugin):
    """Takes any argument; its base takes none."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.settings = settings


class PassesOn(SupervisedPlugin):
    """Passes to a base what that does not take."""

    def __init__(self, **others: Any) -> None:
        super().__init__(**others)


def nothing() -> None:
    """No plugin."""


class Detached(nn.Module):
    """A loss without a gradient."""

    def forward(self, scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(scores, target).detach()


class Fails(SupervisedPlugin):
    """Fails in the middle of a run."""

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        raise KeyError("gone")


class TakesNoMore(SupervisedPlugin):
    """A hook without the keywords that Avalanche calls it with."""

    def before_training(self, strategy: Any) -> None:
        pass
