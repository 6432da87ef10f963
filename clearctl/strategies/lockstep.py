"""Runs the callbacks of a strategy whose arithmetic is done elsewhere, for several strategies at once.

Everything else is the strategy's own: plugins and their callbacks, loaders and their random numbers, memories, metrics
and loggers. No callback runs within a step. For the plugins that act there, `lwf_term`, `ewc_term` and `si_term` are
their distillation and penalties, and `memory_rows` the samples of A-GEM's reference gradients. The counters advance at
the end of the epoch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from avalanche.benchmarks.utils.data_loader import MultiDatasetDataLoader
from avalanche.training.plugins import EWCPlugin, LwFPlugin
from avalanche.training.utils import ParamData

from clearctl.strategies.loading.gather import GatheringLoader
from clearctl.strategies.loading.positions import BatchIterator, SideBySide
from clearctl.strategies.loading.rows import resolve
from clearctl.strategies.methods.agem import AGEMPlugin
from clearctl.strategies.methods.synaptic import SynapticIntelligencePlugin
from clearctl.strategies.stepping.best_epoch import RestoreBestEpoch
from clearctl.strategies.strategy import ClassificationDataset, Experience, Strategy
from clearctl.strategies.watching.batch import BatchRecord, BatchResult

_Plugin = TypeVar("_Plugin")
Tensors = dict[str, torch.Tensor]  # by the names of a model's weights


@dataclass(frozen=True)
class LwFTerm:
    """The term that LwF adds to the loss: `alpha` times the divergence from `weights`' scores of the `classes`."""

    weights: Tensors
    classes: tuple[int, ...]
    alpha: float
    temperature: float


@dataclass(frozen=True)
class QuadraticTerm:
    """The term that EWC and SI add to the loss: `strength` times the squared distances from `weights`, by importance.

    `weights` and `importances` are [E, ...]: of E earlier buckets.
    """

    weights: Tensors
    importances: Tensors
    strength: float


class Lockstep:
    """Runs `strategy` through buckets and tests, callback by callback, as Avalanche's `train` and `eval` do.

    `loading` are the arguments of its loaders; `record` is its first plugin.
    """

    def __init__(self, strategy: Strategy, record: BatchRecord, loading: dict[str, Any]) -> None:
        self.strategy = strategy
        self.record = record
        self.loading = loading
        # A scheduler would warn that it steps before its optimizer, which steps elsewhere.
        strategy.optimizer._opt_called = True  # type: ignore[attr-defined]

    def begin_bucket(self, experience: Experience) -> None:
        """Do what `train` does before the first epoch."""
        strategy = self.strategy
        strategy.is_training, strategy._stop_training = True, False
        strategy.model.train()
        strategy._before_training(**self.loading)
        strategy.experience = experience
        strategy._before_training_exp(**self.loading)

    def sizes(self) -> tuple[int, ...]:
        """The sizes of the datasets that the batches of this bucket are drawn from."""
        loader = self.strategy.dataloader
        assert isinstance(loader, MultiDatasetDataLoader), f"a {type(loader).__name__} has no datasets"
        return tuple(len(dataset) for dataset in loader.datasets)

    def memory_sizes(self) -> tuple[int, ...]:
        """The sizes of A-GEM's memories; empty without A-GEM."""
        agem = self._plugin(AGEMPlugin)
        return () if agem is None else tuple(len(memory) for memory in agem.buffers)

    def memory_rows(self, steps: int) -> list[torch.Tensor]:
        """The row numbers `[M]` of the samples of A-GEM's reference gradient, for each of an epoch's `steps`.

        Call it after `begin_epoch`: a run alone draws them in its steps, after the epoch's order. Empty without A-GEM,
        and in the first bucket.
        """
        agem = self._plugin(AGEMPlugin)
        return [] if agem is None or not agem.buffers else [agem.drawn_rows() for _ in range(steps)]

    def begin_epoch(self) -> list[torch.Tensor]:
        """The row numbers `[B]` of each batch of an epoch, in the drawn order."""
        self.strategy._before_training_epoch(**self.loading)
        loader = self.strategy.dataloader
        assert isinstance(loader, GatheringLoader), f"a {type(loader).__name__} has no rows"
        columns = SideBySide([samples.columns[:1] for samples in loader.samples], loader.loader)
        return [batch[0] for batch in BatchIterator(columns, lambda columns: columns)]

    def end_epoch(self, batches: Sequence[BatchResult]) -> None:
        """Report the results of the epoch's `batches` to metrics, loggers and progress."""
        self.record.learned.extend(batches)
        for _ in batches:
            self.strategy.clock.after_training_iteration(self.strategy)
        self.strategy._after_training_epoch(**self.loading)

    def end_bucket(self) -> dict[str, Any]:
        """Do what `train` does after the last epoch, with the current weights. Returns the latest metrics."""
        strategy = self.strategy
        strategy._after_training_exp(**self.loading)
        ewc = self._plugin(EWCPlugin)
        if ewc is not None:
            vars(ewc).pop("compute_importances", None)  # set by `give_importances`
        strategy._after_training(**self.loading)
        strategy._train_cleanup()
        return strategy.evaluator.get_last_metrics()

    def test(self, stream: Sequence[Experience], tested: Sequence[Sequence[BatchResult]]) -> dict[str, Any]:
        """Do what `eval` does, with the results `tested` of the experiences' batches. Returns the latest metrics."""
        strategy = self.strategy
        before = strategy._save_train_state()
        strategy.is_training = False
        strategy.model.eval()
        strategy.current_eval_stream = stream
        strategy._before_eval(**self.loading)
        for experience, batches in zip(stream, tested, strict=True):
            strategy.experience = experience
            strategy._before_eval_exp(**self.loading)
            torch.empty((), dtype=torch.int64).random_()  # a loader draws it, see `BatchIterator`
            self.record.tested.extend(batches)
            for _ in batches:
                strategy.clock.after_eval_iteration(strategy)
            strategy._after_eval_exp(**self.loading)
        strategy._after_eval(**self.loading)
        strategy._eval_cleanup()
        strategy._load_train_state(before)
        return strategy.evaluator.get_last_metrics()

    @property
    def epoch_is_best(self) -> bool:
        """Whether the latest epoch is the best so far for RestoreBestEpoch."""
        plugin = self._plugin(RestoreBestEpoch)
        return plugin is not None and bool(plugin.is_best)

    def give_best(self, weights: Tensors) -> None:
        """Make RestoreBestEpoch, if there is one, restore `weights` at the end of this bucket."""
        plugin = self._plugin(RestoreBestEpoch)
        if plugin is not None:
            plugin.keep(weights)

    def lwf_term(self) -> LwFTerm | None:
        """The term that LwF adds in this bucket; None without LwF, and in the first."""
        plugin = self._plugin(LwFPlugin)
        if plugin is None or plugin.lwf.prev_model is None:
            return None
        lwf = plugin.lwf
        alpha = lwf.alpha[lwf.expcount] if isinstance(lwf.alpha, list | tuple) else lwf.alpha
        weights = {name: value.detach() for name, value in lwf.prev_model.named_parameters()}
        return LwFTerm(weights, tuple(sorted(lwf.prev_classes_by_task[0])), alpha, lwf.temperature)

    def ewc_term(self) -> QuadraticTerm | None:
        """The term that EWC adds in this bucket; None without EWC, and in the first."""
        plugin, count = self._plugin(EWCPlugin), self.strategy.clock.train_exp_counter
        if plugin is None or count == 0:
            return None
        earlier = range(count) if plugin.mode == "separate" else [count - 1]

        def stacked(kept: Mapping[int, Mapping[str, ParamData]]) -> Tensors:
            names = kept[count - 1]
            return {name: torch.stack([kept[number][name].data.detach() for number in earlier]) for name in names}

        return QuadraticTerm(stacked(plugin.saved_params), stacked(plugin.importances), plugin.ewc_lambda)

    def si_term(self) -> QuadraticTerm | None:
        """The term that synaptic intelligence adds in this bucket; None without it, and in the first, where it is 0."""
        plugin, count = self._plugin(SynapticIntelligencePlugin), self.strategy.clock.train_exp_counter
        if plugin is None or count == 0:
            return None
        strength = plugin.si_lambda[min(count, len(plugin.si_lambda) - 1)] / 2

        def of_each_weight(kept: Mapping[str, ParamData]) -> Tensors:
            return {name: kept[name].data.view(1, *weight.shape) for name, weight in self._weights().items()}

        anchors, importances = plugin.ewc_data
        return QuadraticTerm(of_each_weight(anchors), of_each_weight(importances), strength)

    @property
    def wants_trajectories(self) -> bool:
        """Whether `end_bucket` needs the sum over the bucket's steps of each weight's gradient times its movement."""
        return self._plugin(SynapticIntelligencePlugin) is not None

    def give_trajectories(self, trajectories: Tensors) -> None:
        """Make synaptic intelligence use `trajectories` at the end of this bucket."""
        plugin = self._plugin(SynapticIntelligencePlugin)
        assert plugin is not None
        for name, value in trajectories.items():
            plugin.syn_data["trajectory"][name].data = value.flatten()

    @property
    def wants_importances(self) -> bool:
        """Whether `end_bucket` needs importances."""
        return self._plugin(EWCPlugin) is not None

    def give_importances(self, importances: Tensors) -> None:
        """Make EWC use `importances` at the end of this bucket, instead of computing them."""

        def given(*arguments: object, **named: object) -> dict[str, ParamData]:
            torch.empty((), dtype=torch.int64).random_()  # the loader that EWC would make draws it
            return {
                name: ParamData(name, value.shape, init_tensor=value, device=value.device)
                for name, value in importances.items()
            }

        plugin = self._plugin(EWCPlugin)
        assert plugin is not None
        plugin.compute_importances = given

    def _weights(self) -> Tensors:
        return dict(self.strategy.model.named_parameters())

    def _plugin(self, kind: type[_Plugin]) -> _Plugin | None:
        return next((plugin for plugin in self.strategy.plugins if isinstance(plugin, kind)), None)


def rows_in_order(dataset: ClassificationDataset) -> torch.Tensor:
    """The row numbers `[N]` of a dataset's samples, in its own order."""
    found = resolve(dataset)
    assert found is not None, "the samples have no rows"
    return found.rows
