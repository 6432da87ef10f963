"""What each step of training, and each batch of a test, launches on a GPU, and how often it makes the host wait for it.

A bare loop launches the gather of x, the product with its bias, log-softmax and the loss, their gradients, and SGD: 13
(`test_a_bare_loop`). Naive's 2 more are the mean of mmcls's cross-entropy and its gradient, whose sum is not rounded as
torch's own. Where plugins add to the loss, there is a copy of it too. What is kept for metrics, labels and row numbers
launch nothing: scores, labels and losses are kept as they are, and labels are gathered once an epoch.

A change that adds a launch or a wait has to change the numbers here.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, DIM
from rehearsal.gpu import CUDA, RehearsalGpu
from small import strategy_of
from stacks import STRATEGIES, Open, together
from torch import nn

from clearctl.config.fill import fill
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.engine.stack.captured import CapturedStep
from clearctl.engine.stack.step import Step
from clearctl.models.losses import Criterion
from clearctl.models.registry import LOSSES
from clearctl.progress import ignore
from clearctl.strategies.patches import applied

pytest_plugins = ("blobs", "stacks")
on_this_torch = pytest.mark.skipif(not torch.__version__.startswith("2.15."), reason="the numbers are of torch 2.15")


class Batches(SupervisedPlugin):
    """Counts launches and waits from the end of one batch to the end of the next, of steps or, `tested`, of tests."""

    def __init__(self, gpu: RehearsalGpu, *, tested: bool) -> None:
        super().__init__()
        self.gpu = gpu
        self.tested = tested
        self.launches: list[int] = []
        self.waits: list[Counter[tuple[str, str]]] = []

    def begin(self, strategy: Any, **kwargs: Any) -> None:
        """Before the first batch of an epoch, or of a bucket's test."""
        self.before: tuple[int, Counter[tuple[str, str]]] | None = None

    def count(self, strategy: Any, **kwargs: Any) -> None:
        """At the end of a batch."""
        if strategy.is_training == self.tested:
            return
        if self.before is not None:
            launches, waits = self.before
            self.launches.append(self.gpu.launches.total() - launches)
            self.waits.append(self.gpu.waits - waits)
        self.before = self.gpu.launches.total(), self.gpu.waits.copy()

    before_training_epoch = before_eval_exp = begin
    after_training_iteration = after_eval_iteration = count

    def found(self) -> tuple[int, int]:
        """The launches of a batch, at least (a memory that starts again is shuffled), and the waits, at most."""
        return min(self.launches), max(waits.total() for waits in self.waits)


def batches_of(config: Path, **given: Any) -> tuple[Batches, Batches]:
    """The steps of the last bucket, when there is a memory and what was learned before, and the batches of a test."""
    settings = fill(open_config(config, **given))
    with applied(), RehearsalGpu() as gpu:
        seed_everything(0)
        stream = build_stream(settings.scenario, settings.data)
        model = build_model(settings, stream, ignore).to(CUDA)
        steps, tests = Batches(gpu, tested=False), Batches(gpu, tested=True)
        experiment = build_experiment(settings, stream, model, torch.device("cuda"), run=None, plugins=(steps, tests))
        experiment.accuracy.record._due = float("inf")  # progress, which is read every 0.1 s
        for bucket in experiment.benchmark.train_stream:
            steps.launches, steps.waits = [], []
            experiment.strategy.train(bucket, eval_streams=[])
        experiment.strategy.eval(experiment.benchmark.test_stream)
    return steps, tests


# {strategy: (launches, waits) of a step, then those of a batch of a test}.
EXPECTED = {
    "naive": (15, 0, 4, 0),
    "cumulative": (14, 0, 4, 0),
    "replay": (17, 0, 4, 0),  # row numbers, labels and task labels are joined
    "gdumb": (14, 0, 4, 0),
    "agem": (41, 0, 4, 0),
    "agem_reservoir": (42, 0, 4, 0),
    "ewc": (58, 0, 4, 0),  # a term for each weight and earlier bucket, backward too; `ewc_online` has the latest alone
    "ewc_online": (38, 0, 4, 0),
    "synaptic_intelligence": (46, 0, 4, 0),
    "lwf": (36, 0, 4, 0),
    "mas": (38, 0, 4, 0),
    "cwr_star": (14, 0, 4, 0),
    "bic": (23, 0, 10, 0),
    "icarl": (19, 0, 14, 0),
    "der": (43, 0, 4, 0),
    # Which classes the batch has: as many scores as that are compared, and sums over more come out otherwise.
    "er_ace": (58, 1, 4, 0),
    "streaming_lda": (171, 0, 3, 0),  # sample after sample
    "prototype": (10, 0, 3, 0),
    "ncm": (13, 0, 3, 0),
    "ridge": (13, 0, 3, 0),
    "batch_slda": (13, 0, 3, 0),
    "ranpac": (21, 0, 5, 0),
    "klda": (17, 0, 6, 0),
    "fecam": (37, 2, 23, 0),  # the labels of a batch, and the rows of each class
    "MIR": (14, 0, 3, 0),
    "FeatureReplay": (46, 0, 18, 0),
    "RAR": (20, 0, 4, 0),
}


@on_this_torch
@pytest.mark.parametrize("name", EXPECTED)
def test_no_step_launches_or_waits_more_than_is_known(name: str, write_config: Callable[..., Path]) -> None:
    base, strategy = strategy_of(name)
    steps, tests = batches_of(write_config(base, **strategy))
    assert (*steps.found(), *tests.found()) == EXPECTED[name], (steps.waits[0], tests.waits[0])


@on_this_torch
def test_gem_waits_where_it_decides(write_config: Callable[..., Path]) -> None:
    """Whether gradients contradict each other; where they do, a program is solved on the CPU, as NumPy's arrays."""
    base, strategy = strategy_of("gem")
    steps, tests = batches_of(write_config(base, **strategy))
    plain, solved = (43, 1), (48, 4)  # the gradients of the memories and of the batch go, what is learned comes
    found = {(launches, waits.total()) for launches, waits in zip(steps.launches, steps.waits, strict=True)}
    assert found <= {plain, solved}  # which of them each step is, rounding decides here
    assert tests.found() == (4, 0)


# {overrides: as above}, of a small network on images that are decoded in this process.
IMAGES = {
    (): (72, 0, 39, 0),  # the places of the pixels, a gather, and a copy of images that are used for the first time
    ("precision=bf16", "channels_last=True"): (93, 0, 50, 0),
    # Whether a gradient has overflowed, before plugins see it, and again in GradScaler.step.
    ("precision=fp16",): (108, 2, 48, 0),
    ("data.loader=mapped",): (67, 0, 33, 0),
    ("data.cache=off",): (65, 0, 31, 0),
}


@on_this_torch
@pytest.mark.parametrize("overrides", IMAGES)
def test_no_step_on_images_launches_or_waits_more_than_is_known(
    overrides: tuple[str, ...], tiny_config: Path, prepared: Path
) -> None:
    steps, tests = batches_of(tiny_config, overrides=("cl_strategy.eval_mb_size=4", *overrides), dataset_root=prepared)
    assert (*steps.found(), *tests.found()) == IMAGES[overrides], (steps.waits[0], tests.waits[0])


@on_this_torch
@pytest.mark.parametrize(
    ("loss", "launches"), [(nn.CrossEntropyLoss(), 13), (Criterion(LOSSES["CrossEntropyLoss"]()), 15)]
)
def test_a_bare_loop(loss: nn.Module, launches: int) -> None:
    with RehearsalGpu() as gpu:
        x, y = torch.randn(16, DIM, device="cuda"), torch.zeros(16, dtype=torch.int64, device="cuda")
        network = nn.Linear(DIM, CLASSES).to("cuda")
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-5)
        for rows, labels in zip(torch.arange(16, device="cuda").split(8), y.split(8), strict=True):
            before = gpu.launches.total(), gpu.waits.total()
            optimizer.zero_grad()
            loss(network(x.index_select(0, rows)), labels).backward()
            optimizer.step()
        assert (gpu.launches.total(), gpu.waits.total()) == (before[0] + launches, before[1])


STEPS = 4  # of an epoch of a stack

# Launches of a step of all runs of a stack, none of which waits.
EXPECTED_STACKED = {
    "naive": 24,
    "Replay": 24,
    "losses": 26,
    "cosine": 36,
    "adam": 43,
    "lwf": 44,
    "si": 54,
    "a-gem": 61,
    "a-gem, cosine": 85,
    "online ewc": 48,
    "ewc": 50,
}
CAPTURED = 3  # the batch into the graph's memory, the graph, and a copy of what it gave


def stacked_steps(
    kind: type[Any], name: str, graph: str, opened: Open, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[int, int]]:
    """(launches, waits) of each step of the last epoch."""
    values = {"data.graph": graph, "metrics": [], "cl_strategy.train_epochs": 2}
    configs = [opened(folder, seed, {**own, **values}) for seed, own in enumerate(STRATEGIES[name])]
    counts = []
    step = kind.__call__
    with RehearsalGpu() as gpu:

        def counted(self: Any, *batch: torch.Tensor) -> torch.Tensor:
            launches, waits = gpu.launches.total(), gpu.waits.total()
            gave: torch.Tensor = step(self, *batch)
            counts.append((gpu.launches.total() - launches, gpu.waits.total() - waits))
            return gave

        monkeypatch.setattr(kind, "__call__", counted)
        together(configs, "cuda")
    return counts[-STEPS:]


@on_this_torch
@pytest.mark.parametrize("name", EXPECTED_STACKED)
def test_no_step_of_a_stack_launches_or_waits_more_than_is_known(
    name: str, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = stacked_steps(Step, name, "off", opened, tmp_path, monkeypatch)
    assert counts == [(EXPECTED_STACKED[name], 0)] * STEPS


def test_a_captured_step_is_three_launches(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = stacked_steps(CapturedStep, "ewc", "auto", opened, tmp_path, monkeypatch)
    assert min(counts) == (CAPTURED, 0)
