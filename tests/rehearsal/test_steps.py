"""What each step of training launches on a GPU, and how often it makes the host wait for it.

Naive's are the gather of x and y, the product with its bias, log-softmax and the loss, their gradients, SGD with
momentum, and what is kept for metrics. A change that adds a launch or a wait has to change the numbers here.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from rehearsal.gpu import CUDA, RehearsalGpu
from stacks import STRATEGIES, Open, together
from test_strategies import SMALL

from clearctl.config.settings import fill
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.engine.stack.captured import CapturedStep
from clearctl.engine.stack.step import Step
from clearctl.progress import ignore

pytest_plugins = ("blobs", "stacks")


class Steps(SupervisedPlugin):
    """Counts the launches and waits from the end of one step to the end of the next, within an epoch."""

    def __init__(self, gpu: RehearsalGpu) -> None:
        super().__init__()
        self.gpu = gpu
        self.launches: list[int] = []
        self.waits: list[Counter[tuple[str, str]]] = []

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self.before: tuple[int, Counter[tuple[str, str]]] | None = None

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if self.before is not None:
            launches, waits = self.before
            self.launches.append(self.gpu.launches.total() - launches)
            self.waits.append(self.gpu.waits - waits)
        self.before = self.gpu.launches.total(), self.gpu.waits.copy()


def steps_of(config: Path) -> Steps:
    """Of the last bucket, when there is a memory and what was learned before."""
    settings = fill(open_config(config))
    with RehearsalGpu() as gpu:
        seed_everything(0)
        stream = build_stream(settings.scenario)
        model = build_model(settings, stream, ignore).to(CUDA)
        steps = Steps(gpu)
        experiment = build_experiment(settings, stream, model, torch.device("cuda"), run=None, plugins=(steps,))
        experiment.accuracy.record._due = float("inf")  # progress, which is read every 0.1 s
        for bucket in experiment.benchmark.train_stream:
            steps.launches, steps.waits = [], []
            experiment.strategy.train(bucket)
    return steps


# {base: (launches, waits)} of a step, and what waits: Avalanche's own code unless another place is named.
EXPECTED = {
    "naive": (20, 0),
    "cumulative": (19, 0),
    "replay": (22, 0),
    "gdumb": (19, 0),
    "agem": (44, 1),  # whether the gradients contradict each other
    "agem_reservoir": (45, 2),  # and the row numbers of the memory's batch
    # GEM: where gradients contradict each other a program is solved on the CPU, which rounding decides here.
    "ewc": (64, 1),  # a new zero for the penalty
    "ewc_online": (44, 1),
    "synaptic_intelligence": (50, 0),
    "lwf": (44, 3),  # the list of classes, as an index of both scores and of their gradient
    "mas": (44, 1),  # whether the penalty is 0
    "cwr_star": (19, 0),
    "bic": (27, 0),
    "icarl": (22, 2),  # which classes are new (methods/icarl)
    "der": (43, 1),  # the memory's stored scores (loading/positions)
    "er_ace": (61, 3),  # the classes in the batch
    "streaming_lda": (171, 0),
    "prototype": (10, 1),  # the largest class index
}


of_torch_2_15 = pytest.mark.skipif(not torch.__version__.startswith("2.15."), reason="the numbers are of torch 2.15")


@of_torch_2_15
@pytest.mark.parametrize("base", EXPECTED)
def test_no_step_launches_or_waits_more_than_is_known(base: str, write_config: Callable[..., Path]) -> None:
    steps = steps_of(write_config(base, **SMALL[base]))
    waits = [found.total() for found in steps.waits]
    assert (min(steps.launches), min(waits)) == EXPECTED[base], steps.waits[0]


STEPS = 4  # of an epoch of a stack

# Launches of a step of all runs of a stack, none of which waits.
EXPECTED_STACKED = {
    "naive": 25,
    "Replay": 25,
    "losses": 27,
    "cosine": 37,
    "adam": 44,
    "lwf": 46,
    "online ewc": 49,
    "ewc": 51,
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

        def counted(self: Any, rows: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            launches, waits = gpu.launches.total(), gpu.waits.total()
            gave: torch.Tensor = step(self, rows, y)
            counts.append((gpu.launches.total() - launches, gpu.waits.total() - waits))
            return gave

        monkeypatch.setattr(kind, "__call__", counted)
        together(configs, "cuda")
    return counts[-STEPS:]


@of_torch_2_15
@pytest.mark.parametrize("name", EXPECTED_STACKED)
def test_no_step_of_a_stack_launches_or_waits_more_than_is_known(
    name: str, opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = stacked_steps(Step, name, "off", opened, tmp_path, monkeypatch)
    assert counts == [(EXPECTED_STACKED[name], 0)] * STEPS


def test_a_captured_step_is_three_launches(opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = stacked_steps(CapturedStep, "ewc", "auto", opened, tmp_path, monkeypatch)
    assert min(counts) == (CAPTURED, 0)
