"""Base of strategies without gradients: one pass over the bucket in its own order, then the head is written.

They see each sample once, so they have no `train_epochs`, and they draw no random numbers.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from avalanche.core import BasePlugin
from avalanche.training.templates import SupervisedTemplate
from torch import nn

from clearctl.strategies.methods.head import Embedding, last_layer, normalises_weights
from clearctl.strategies.methods.moments import Moments, Of
from clearctl.strategies.strategy import MetricValues
from clearctl.strategies.traits import DTYPES


def idle_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """An optimizer that never steps, at lr 0: whatever watches a strategy reads its learning rate."""
    return torch.optim.SGD(model.parameters(), lr=0.0)


def forward_passes(strategy: SupervisedTemplate, embedding: Embedding, **kwargs: object) -> Iterator[torch.Tensor]:
    """One pass over the data with all callbacks but those of the backward step; yields each batch's features."""
    for batch in strategy.dataloader:
        strategy.mbatch = batch
        strategy._unpack_minibatch()
        strategy._before_training_iteration(**kwargs)
        strategy.loss = strategy._make_empty_loss()
        strategy._before_forward(**kwargs)
        strategy.mb_output, features = embedding.scores(strategy.mb_x)
        strategy._after_forward(**kwargs)
        strategy.loss += strategy.criterion()
        yield features
        strategy._after_training_iteration(**kwargs)


class OnePass(SupervisedTemplate):
    """Sees each sample of a bucket once, in eval mode and without an optimizer, and writes the head."""

    def __init__(
        self,
        *,
        model: nn.Module,
        criterion: nn.Module = nn.CrossEntropyLoss(),  # noqa: B008 it has no state; only reports use it
        train_mb_size: int = 1,
        eval_mb_size: int | None = None,
        device: torch.device | str = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: MetricValues | None = None,
        eval_every: int = -1,
    ) -> None:
        super().__init__(
            model=model,
            optimizer=idle_optimizer(model),
            criterion=criterion,
            train_mb_size=train_mb_size,
            train_epochs=1,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=plugins,
            evaluator=evaluator,
            eval_every=eval_every,
        )
        self.embedding = Embedding(model)

    def make_optimizer(self, **kwargs: object) -> None:
        """Nothing is optimized."""


class ClosedForm(OnePass):
    """Adds up something of the features that the head's last layer takes, and solves for the head from all of it.

    The sums continue over the buckets. Features are taken in eval mode, of the train transform's
    samples. The scores of a bucket in training are those of the head before it.
    """

    @property
    def layer(self) -> Any:
        """The head's last layer: `weight` [num_classes, D], and mostly `bias` [num_classes]."""
        return last_layer(self.model)[1]

    def no_samples(self, accumulate: str = "float32", of: Of = "all") -> Moments:
        """Empty sums for this head. Raises ValueError for an `accumulate` that is not a dtype to add up in."""
        if accumulate not in DTYPES:
            raise ValueError(f"accumulate={accumulate!r}: expected {' or '.join(map(repr, DTYPES))}")
        classes, width = self.layer.weight.shape
        return Moments(classes, width, self.device, getattr(torch, accumulate), of)

    def make_train_dataloader(self, shuffle: bool = True, **kwargs: object) -> None:
        """Batches in the bucket's own order, whatever `shuffle` says: of resident features they are not even copied."""
        super().make_train_dataloader(shuffle=False, **kwargs)

    @torch.no_grad()
    def training_epoch(self, **kwargs: object) -> None:
        """See each sample of the bucket once, then write the head."""
        self.model.eval()
        self.begin_bucket()
        for features in forward_passes(self, self.embedding, **kwargs):
            self.add(features, self.mb_y)
        self.write_head()

    def begin_bucket(self) -> None:
        """Before the first sample of a bucket. A run that resumes within the bucket does it again, and then loads."""

    @abstractmethod
    def add(self, features: torch.Tensor, y: torch.Tensor) -> None:
        """Take samples: `features [B, D]` and class indices `y [B]`."""

    @abstractmethod
    def write_head(self) -> None:
        """Write the head from all samples so far. Raises ConfigError if there is no solution."""


def require_linear(model: nn.Module) -> None:
    """Raise ValueError unless the head ends in a linear layer with a bias, whose scores are `x wᵀ + b`."""
    layer = last_layer(model)[1]
    if getattr(layer, "bias", None) is None or normalises_weights(layer):
        raise ValueError("it needs a head that ends in a plain linear layer with a bias")


def require_head(model: nn.Module, kind: type[nn.Module]) -> None:
    """Raise ValueError unless the model ends in a head of the `kind` that the strategy writes."""
    head = getattr(model, "head", model)
    if not isinstance(head, kind):
        raise ValueError(f"it needs a head of the type {kind.__name__}, found {type(head).__name__}")
