"""iCaRL (Rebuffi et al., CVPR 2017) for streams in which classes come back.

Avalanche's runs only where every bucket brings new classes: it asks the benchmark for `n_classes_per_exp`, keeps its
exemplars and means by experience, and replaces the labels of every class seen before by the old model's answers, so
that on CLEAR nothing would be learned after the first bucket. Here a class of the present bucket is learned from its
labels, and only classes absent from it are distilled; exemplars are kept for each bucket and class, and a class's
mean is that of all its exemplars. Where every bucket brings new classes that is iCaRL as published.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy

import torch
from avalanche.benchmarks.utils.utils import concat_datasets
from avalanche.core import BasePlugin
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize, one_hot
from torch.utils.data import DataLoader

from clearctl.strategies.methods.head import Embedding, class_index, last_layer
from clearctl.strategies.strategy import ClassificationDataset, MetricValues, Strategy, TensorBatch


class NearestMean(nn.Module):
    """A network that in train mode scores with its head, and in eval mode by the distance to class means.

    `class_means [num_classes, D]` are of normalised features and part of the state dict; classes without a mean
    (`has_mean`) cannot win, and as long as there is none at all the head scores.
    """

    class_means: torch.Tensor
    has_mean: torch.Tensor

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        weight = last_layer(network)[1].weight
        self.feature_extractor = Embedding(network)
        self.register_buffer("class_means", torch.zeros(weight.shape, device=weight.device))
        self.register_buffer("has_mean", torch.zeros(len(weight), dtype=torch.bool, device=weight.device))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores `[B, num_classes]`; in eval mode the negative distances."""
        scores, features = self.feature_extractor.scores(x)
        if self.training:
            return scores
        distances = torch.cdist(normalize(features), self.class_means)
        nearness = -distances.masked_fill(~self.has_mean, torch.finfo(distances.dtype).max)
        return torch.where(self.has_mean.any(), nearness, scores)  # on the device: an `if` would wait for it


def _network(strategy: Strategy) -> NearestMean:
    assert isinstance(strategy.model, NearestMean)
    return strategy.model


class ICaRLLoss(SupervisedPlugin):
    """Binary cross-entropy with the labels; with the old model's answers for earlier classes absent from the bucket."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()
        self.distilled: list[int] = []
        self.old_model: NearestMean | None = None
        self._old_scores: torch.Tensor | None = None

    def before_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Set the classes that are distilled."""
        self._present = {int(target) for target in strategy.experience.dataset.targets}
        self.distilled = sorted(self.seen - self._present)

    def before_forward(self, strategy: Strategy, **kwargs: object) -> None:
        """Ask the old model."""
        if self.old_model is not None and self.distilled:
            with torch.no_grad():
                self._old_scores, _ = self.old_model.feature_extractor.scores(strategy.mb_x)

    def __call__(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean over samples and classes."""
        wanted = one_hot(targets.long(), scores.shape[1]).to(scores.dtype)
        if self._old_scores is not None:
            classes = class_index(tuple(self.distilled), scores.device)
            wanted[:, classes] = self._old_scores[:, classes].sigmoid()
            self._old_scores = None
        return binary_cross_entropy_with_logits(scores, wanted)

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Keep the model that has learned the bucket."""
        self.seen |= self._present
        self.old_model = deepcopy(_network(strategy)).eval().requires_grad_(False)


class ICaRLPlugin(SupervisedPlugin):
    """Exemplars chosen by herding are learned again with each bucket, and give the class means.

    `exemplars` {(bucket number, class): dataset, best exemplar first}. With `fixed_memory` they share `memory_size`
    places evenly, else each has `memory_size`.
    """

    def __init__(self, memory_size: int, fixed_memory: bool = True) -> None:
        super().__init__()
        if memory_size < 1:
            raise ValueError(f"memory_size is {memory_size}, expected a whole number from 1")
        self.memory_size = memory_size
        self.fixed_memory = fixed_memory
        self.exemplars: dict[tuple[int, int], ClassificationDataset] = {}

    def after_train_dataset_adaptation(self, strategy: Strategy, **kwargs: object) -> None:
        """Add the exemplars to what is learned."""
        if self.exemplars:
            strategy.adapted_dataset = concat_datasets([strategy.adapted_dataset, *self.exemplars.values()]).train()

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Choose the bucket's exemplars, make room for them, and take the means of all."""
        dataset, bucket = strategy.experience.dataset, strategy.clock.train_exp_counter
        by_class: dict[int, list[int]] = defaultdict(list)
        for index, target in enumerate(dataset.targets):
            by_class[int(target)].append(index)
        groups = len(self.exemplars) + len(by_class)
        places = self.memory_size // groups if self.fixed_memory else self.memory_size
        # The remainder of even shares goes to the oldest groups, one place each, so that the memory is full.
        left = self.memory_size - places * groups if self.fixed_memory else 0
        was_training = strategy.model.training
        strategy.model.eval()
        for target, indices in sorted(by_class.items()):
            samples = dataset.subset(indices)
            order = herd(_features(strategy, samples), places + 1)
            self.exemplars[bucket, target] = samples.subset(order)
        for number, (key, samples) in enumerate(self.exemplars.items()):
            self.exemplars[key] = samples.subset(range(min(places + (number < left), len(samples))))
        self._take_means(strategy)
        strategy.model.train(was_training)

    def _take_means(self, strategy: Strategy) -> None:
        features: dict[int, list[torch.Tensor]] = defaultdict(list)
        for (_, target), samples in self.exemplars.items():
            if len(samples):
                features[target].append(_features(strategy, samples))
        network = _network(strategy)
        for target, parts in features.items():
            network.class_means[target] = normalize(torch.cat(parts).mean(dim=0), dim=0)
            network.has_mean[target] = True


def herd(features: torch.Tensor, count: int) -> list[int]:
    """The order in which at most `count` rows of `features [N, D]` bring their running mean nearest to that of all."""
    mean, total = features.mean(dim=0), torch.zeros_like(features[0])
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    chosen: list[int] = []
    for k in range(1, min(count, len(features)) + 1):
        distances = ((total + features) / k - mean).square().sum(dim=1).masked_fill(~free, math.inf)
        best = int(distances.argmin())
        chosen.append(best)
        free[best] = False
        total = total + features[best]
    return chosen


@torch.no_grad()
def _features(strategy: Strategy, samples: ClassificationDataset) -> torch.Tensor:
    """Normalised features `[N, D]` of the samples under the eval transform."""
    loader: DataLoader[TensorBatch] = DataLoader(samples.eval(), batch_size=strategy.eval_mb_size)  # type: ignore[arg-type]
    extractor = _network(strategy).feature_extractor
    return torch.cat([normalize(extractor(x.to(strategy.device))) for x, *_ in loader])


class ICaRL(SupervisedTemplate):
    """iCaRL: replay of herded exemplars, sigmoid outputs, and classification by the nearest mean of exemplars."""

    def __init__(
        self,
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        memory_size: int,
        fixed_memory: bool = True,
        train_mb_size: int = 1,
        train_epochs: int = 1,
        eval_mb_size: int | None = None,
        device: torch.device | str = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: MetricValues | None = None,
        eval_every: int = -1,
    ) -> None:
        self.icarl = ICaRLPlugin(memory_size, fixed_memory)
        super().__init__(
            model=NearestMean(model),
            optimizer=optimizer,
            criterion=ICaRLLoss(),
            train_mb_size=train_mb_size,
            train_epochs=train_epochs,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=[*(plugins or []), self.icarl],
            evaluator=evaluator,
            eval_every=eval_every,
        )
