"""Avalanche's own strategies on its own CLEAR, without clearctl: what test_parity.py compares its runs with.

A script, so nothing of clearctl is imported beside it: `python plain_clear.py DATASET_ROOT FILE` learns with every
strategy under both labellings, and saves what each left.
"""

import copy
import sys
from typing import Any

import torch
from avalanche.benchmarks.classic import CLEAR
from avalanche.benchmarks.datasets.clear.clear import _CLEARFeature
from avalanche.benchmarks.scenarios.deprecated.generic_benchmark_creation import (
    create_generic_benchmark_from_tensor_lists,
)
from avalanche.evaluation import metrics
from avalanche.training import supervised
from avalanche.training.determinism.rng_manager import RNGManager
from avalanche.training.plugins import EvaluationPlugin, GDumbPlugin, ReplayPlugin
from avalanche.training.storage_policy import ReservoirSamplingBuffer
from torch import nn

# The reader of this release is without the faults of that for "clear10"; features under a name that it knows.
RELEASE, FEATURES = "clear10_neurips2021", "moco_b0"
DIM, CLASSES, LR, MEMORY, SEED = 5, 3, 0.3, 17, 0
SIZES = dict(train_mb_size=7, eval_mb_size=10, train_epochs=2)
ALPHA = [0.0, 0.5, 1.0, 2.0]
EVERYWHERE = dict(minibatch=True, epoch=True, epoch_running=True, experience=True, stream=True)
METRICS: list[dict[str, Any]] = [
    dict(type="accuracy_metrics", **EVERYWHERE, trained_experience=True),
    dict(type="loss_metrics", **EVERYWHERE),
    dict(type="forgetting_metrics", experience=True, stream=True),
    dict(type="bwt_metrics", experience=True, stream=True),
    dict(type="class_accuracy_metrics", epoch=True, experience=True, stream=True),
    dict(type="topk_acc_metrics", top_k=2, epoch=True, experience=True, stream=True),
]
STRATEGIES = ("Naive", "Cumulative", "JointTraining", "Replay", "Replay, balanced", "GDumb", "LwF")
LABELLINGS = ("single", "bucket")


class GDumbOnAReservoir(GDumbPlugin):
    """What CLEAR's baselines call "reservoir": the model is never reset, and the memory is a reservoir."""

    def __init__(self) -> None:
        super().__init__(MEMORY)
        self.storage_policy = ReservoirSamplingBuffer(MEMORY)

    def before_train_dataset_adaptation(self, strategy: Any, **kwargs: Any) -> None:
        """Avalanche's resets the model here."""


def build_benchmark(root: str, labelling: str) -> Any:
    """CLEAR as Avalanche builds it: bucket i has the task label i. With "single" the same, with the label 0 for all."""
    if labelling == "bucket":
        return CLEAR(data_name=RELEASE, evaluation_protocol="streaming", feature_type=FEATURES, dataset_root=root)
    samples = _CLEARFeature(root=root, data_name=RELEASE, feature_type=FEATURES).tensors_and_targets
    # As avalanche/benchmarks/classic/clear.py of 0.6.0 has it in lines 182-189, but for the labels.
    return create_generic_benchmark_from_tensor_lists(
        samples, copy.copy(samples), task_labels=[0] * len(samples), complete_test_set_only=False
    )


def build_strategy(name: str) -> Any:
    """The strategy, with a network of its own."""
    model = nn.Linear(DIM, CLASSES)
    evaluated = [
        getattr(metrics, entry["type"])(**{k: v for k, v in entry.items() if k != "type"}) for entry in METRICS
    ]
    given: dict[str, Any] = dict(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=LR),
        criterion=nn.CrossEntropyLoss(),
        evaluator=EvaluationPlugin(*evaluated, loggers=[]),
        **SIZES,
    )
    if name == "GDumb":
        return supervised.Naive(plugins=[GDumbOnAReservoir()], **given)
    if name == "LwF":
        return supervised.LwF(alpha=ALPHA, temperature=2.0, **given)
    if name == "Replay":
        return supervised.Replay(mem_size=MEMORY, **given)
    if name == "Replay, balanced":  # an argument that only the plugin has
        return supervised.Naive(plugins=[ReplayPlugin(MEMORY, task_balanced_dataloader=True)], **given)
    return getattr(supervised, name)(**given)


def learn(name: str, benchmark: Any) -> dict[str, Any]:
    """The weights after each bucket, and what Avalanche returned of the training on it and of the test after it."""
    RNGManager.set_random_seeds(SEED)
    strategy = build_strategy(name)
    left: dict[str, Any] = {"weights": [], "train": [], "test": []}
    at_once = name == "JointTraining"
    for learned in [benchmark.train_stream] if at_once else benchmark.train_stream:
        left["train"].append(strategy.train(learned))
        left["test"].append(strategy.eval(benchmark.test_stream))
        left["weights"].append({key: value.clone() for key, value in strategy.model.state_dict().items()})
    return left


def main(root: str, file: str) -> None:
    """Learn, and save {(strategy, labelling): what it left} with the labels of each."""
    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for labelling in LABELLINGS:
        benchmark = build_benchmark(root, labelling)
        found[labelling] = {name: learn(name, benchmark) for name in STRATEGIES}
        found[labelling]["labels"] = [experience.task_labels for experience in benchmark.train_stream]
    assert not any(name.partition(".")[0] == "clearctl" for name in sys.modules), "this is not plain Avalanche"
    torch.save(found, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
