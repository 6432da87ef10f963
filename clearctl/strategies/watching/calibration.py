"""Calibration in tests: how reliable the probabilities of a model are.

Probabilities are the softmax of the scores. Strategies and losses whose scores are not logits are refused
(`config.check_metrics`); of a user-defined class nothing is known, and its scores are taken as logits.
"""

from collections.abc import Callable
from functools import partial

import torch
from avalanche.evaluation import GenericPluginMetric, Metric, PluginMetric
from avalanche.evaluation.metric_utils import phase_and_task
from torch.nn import functional

from clearctl.strategies.strategy import MetricValues, Strategy

# (scores [N, C] float64, labels [N] int64) → a number.
OfScores = Callable[[torch.Tensor, torch.Tensor], float]


def calibration_metrics(n_bins: int = 15, experience: bool = True, stream: bool = False) -> list[PluginMetric]:
    """Expected calibration error (ECE, in `n_bins` bins) and negative log-likelihood (NLL, in nats) of the tests.

    Of each bucket with `experience` ("ECE_Exp", "NLL_Exp"), of all images of all buckets with `stream` ("ECE_Stream",
    "NLL_Stream"). 15 bins are those of Guo et al., ICML 2017.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins={n_bins} must be 1 or more")
    measures: tuple[tuple[str, OfScores], ...] = (
        ("ECE", partial(expected_calibration_error, n_bins=n_bins)),
        ("NLL", negative_log_likelihood),
    )
    places = [place for place, wanted in (("experience", experience), ("stream", stream)) if wanted]
    return [ScoreMetric(name, measure, place) for place in places for name, measure in measures]


def expected_calibration_error(scores: torch.Tensor, labels: torch.Tensor, n_bins: int = 15) -> float:
    """The mean distance of confidence and accuracy over bins of equal width of confidence, 0 to 1, by torchmetrics.

    `scores` are logits `[N, C]`, `labels` `[N]`. NaN if a score is.
    """
    from torchmetrics.functional.classification import multiclass_calibration_error

    # Already probabilities: torchmetrics takes logits that happen to be in [0, 1] for such.
    probabilities = functional.softmax(scores, dim=1).clamp(0, 1)
    if probabilities.isnan().any():
        return float("nan")
    error = multiclass_calibration_error(
        probabilities, labels, num_classes=scores.shape[1], n_bins=n_bins, norm="l1", validate_args=False
    )
    return float(error)


def negative_log_likelihood(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The mean of -log of the probability of the label, in nats; `scores` are logits `[N, C]`, `labels` `[N]`."""
    return float(functional.cross_entropy(scores, labels))


class KeptScores(Metric[dict[int, float]]):
    """The scores and labels of a test, by task label. They stay on the device until the result is requested."""

    def __init__(self, measure: OfScores) -> None:
        self.measure = measure
        self.kept: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def update(self, scores: torch.Tensor, labels: torch.Tensor, task: int) -> None:
        """Keep a batch: `scores` [B, C], class indices `labels` [B]."""
        self.kept.setdefault(task, []).append((scores.detach(), labels))

    def result(self) -> dict[int, float]:
        """{task label: the measure of its samples}, computed on the CPU, so that it is the same on every device."""
        found = {}
        for task, batches in self.kept.items():
            scores, labels = (torch.cat(parts).cpu() for parts in zip(*batches, strict=True))
            found[task] = self.measure(scores.double(), labels)
        return found

    def reset(self) -> None:
        """Forget them."""
        self.kept = {}


class ScoreMetric(GenericPluginMetric[dict[int, float], KeptScores]):
    """A measure of the scores of each bucket tested, or of the whole test, published under its name."""

    def __init__(self, name: str, measure: OfScores, place: str) -> None:
        super().__init__(KeptScores(measure), reset_at=place, emit_at=place, mode="eval")
        self.name = f"{name}_{'Exp' if place == 'experience' else 'Stream'}"

    def __str__(self) -> str:
        return self.name

    def update(self, strategy: Strategy) -> None:
        """Keep the batch that was tested."""
        task = phase_and_task(strategy)[1]
        self._metric.update(strategy.mb_output, strategy.mb_y, 0 if task is None else task)

    def _package_result(self, strategy: Strategy) -> MetricValues:
        values = super()._package_result(strategy)
        self.reset()  # so that no state holds the scores of the last test
        return values
