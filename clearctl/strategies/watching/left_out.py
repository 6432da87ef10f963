"""Measures how well confidence separates the classes of a stream from classes outside it."""

from collections.abc import Iterator
from typing import Any

import torch
from avalanche.evaluation import GenericPluginMetric, Metric, PluginMetric
from avalanche.evaluation.metric_utils import phase_and_task
from torch.nn import functional

from clearctl.distributed.randomness import preserve_random_states
from clearctl.strategies.loading.gather import in_order
from clearctl.strategies.strategy import MetricValues, Strategy, left_out_stream, tests_validation

# A metric's value by task label.
Values = dict[int, float]


def auroc_metrics() -> list[PluginMetric]:
    """The area under the ROC curve ("AUROC_Exp") by which confidence tells a bucket's test images from unknown ones.

    Confidence is the maximum softmax probability, and unknown are the test images of the bucket whose class the stream
    leaves out (`scenario.classes`, `drop_classes`), as in Hendrycks and Gimpel, ICLR 2017. 0.5 is chance.
    """
    return [LeftOutAuroc()]


def auroc(known: torch.Tensor, unknown: torch.Tensor) -> float:
    """The area, by torchmetrics, of logits `[N, C]` of known and `[M, C]` of unknown samples.

    NaN if there are none of one kind, or a logit is NaN.
    """
    from torchmetrics.functional.classification import binary_auroc

    confidence = functional.softmax(torch.cat([known, unknown]).double(), dim=1).amax(dim=1).clamp(0, 1)
    if not len(known) or not len(unknown) or confidence.isnan().any():
        return float("nan")
    is_known = torch.arange(len(confidence)) < len(known)
    return float(binary_auroc(confidence, is_known.long(), validate_args=False))


class KeptConfidence(Metric[Values]):
    """The scores of the known and the unknown samples of a bucket."""

    def __init__(self) -> None:
        self.known: list[torch.Tensor] = []
        self.unknown: list[torch.Tensor] = []
        self.task = 0

    def result(self) -> Values:
        """{task label: the area}, computed on the CPU; nothing if nothing was tested."""
        if not self.known:
            return {}
        known = torch.cat(self.known).cpu()
        unknown = torch.cat(self.unknown).cpu() if self.unknown else known[:0]
        return {self.task: auroc(known, unknown)}

    def reset(self) -> None:
        """Forget them."""
        self.known, self.unknown = [], []


class LeftOutAuroc(GenericPluginMetric[Values, KeptConfidence]):
    """`auroc` of each bucket that is tested. Tests on validation parts have none: what is left out is of the test."""

    def __init__(self) -> None:
        super().__init__(KeptConfidence(), reset_at="experience", emit_at="experience", mode="eval")

    def __str__(self) -> str:
        return "AUROC_Exp"

    def update(self, strategy: Strategy) -> None:
        """Keep the batch that was tested."""
        if not tests_validation(strategy):
            self._metric.known.append(strategy.mb_output.detach())

    def after_eval_exp(self, strategy: Strategy, **loading: Any) -> MetricValues | None:
        """Test what the bucket leaves out, as the strategy tests."""
        if not tests_validation(strategy):
            self._metric.unknown = list(_answers(strategy))
            self._metric.task = phase_and_task(strategy)[1] or 0
        values: MetricValues | None = super().after_eval_exp(strategy)
        self.reset()  # so that no state holds the scores of the last test
        return values


@torch.no_grad()
def _answers(strategy: Strategy) -> Iterator[torch.Tensor]:
    """The scores `[B, C]` of each batch of what the bucket under test leaves out."""
    experience = strategy.experience
    left_out = left_out_stream(experience.origin_stream.benchmark)[experience.current_experience]
    if not len(left_out.dataset):
        return
    kept = strategy.mbatch, strategy.mb_output
    with preserve_random_states(own=True):
        for batch in in_order(left_out.dataset.eval(), strategy.eval_mb_size, 0, strategy.device):
            strategy.mbatch = batch
            strategy._unpack_minibatch()
            strategy._before_eval_forward()
            strategy.mb_output = strategy.forward()
            strategy._after_eval_forward()
            yield strategy.mb_output.detach()
    strategy.mbatch, strategy.mb_output = kept
