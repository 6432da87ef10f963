"""Steps captured in CUDA graphs give the same bits as without: on the rehearsal GPU, and on a real one."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from rehearsal.gpu import CUDA, RehearsalGpu
from stacks import STRATEGIES, Open, together

from clearctl import rundir
from clearctl.data.samples import FeatureSamples
from clearctl.engine.run.resume import resume
from clearctl.engine.run.train import TrainResult
from clearctl.engine.stack.captured import WARM_UP_STEPS, CapturedStep
from clearctl.engine.stack.features import Features
from clearctl.engine.stack.heads import BIAS, WEIGHT, Heads
from clearctl.engine.stack.optimize import SGD
from clearctl.engine.stack.step import Step
from clearctl.engine.stack.train import train_stack
from clearctl.errors import CapabilityError, Stopped
from clearctl.progress import EpochDone, Event, Message

pytest_plugins = ("stacks",)

BUCKETS, STEPS, EPOCHS = 3, 4, 5  # a bucket's 26 samples are batches of 8, 8, 8 and 2
CASES = {
    **{name: STRATEGIES[name] for name in ("naive", "lwf", "ewc", "cosine", "best epoch", "Replay, reservoir")},
    "adam": [{**values, **STRATEGIES["schedules"][0]} for values in STRATEGIES["adam"]],
}


def stack(opened: Open, folder: Path, name: str, graph: str, device: str = "cuda") -> list[TrainResult]:
    values = {"data.graph": graph, "metrics": [], "cl_strategy.train_epochs": EPOCHS}
    configs = [opened(folder / graph / f"{seed}", seed, {**own, **values}) for seed, own in enumerate(CASES[name])]
    return together(configs, device)


def require_equal(found: Sequence[TrainResult], expected: Sequence[TrainResult]) -> None:
    """The same bits in every matrix, metric and weight."""
    for one, other in zip(found, expected, strict=True):
        assert one.matrix.tolist() == other.matrix.tolist()
        for mine, theirs in zip(rundir.read_metrics(one.run), rundir.read_metrics(other.run), strict=True):
            assert {**mine, "seconds": 0} == {**theirs, "seconds": 0}
        for mine, theirs in zip(*(rundir.checkpoints(run.run).values() for run in (one, other)), strict=True):
            weights = torch.load(mine, weights_only=True)
            for key, weight in torch.load(theirs, weights_only=True).items():
                torch.testing.assert_close(weights[key], weight, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
def test_a_captured_stack_is_the_one_without(opened: Open, tmp_path: Path, name: str) -> None:
    with RehearsalGpu():
        expected = stack(opened, tmp_path, name, "off")
    with RehearsalGpu() as gpu:
        found = stack(opened, tmp_path, name, "auto")
    require_equal(found, expected)
    assert gpu.graphs
    assert all(graph.replays for graph in gpu.graphs)
    if name == "naive":
        assert len(gpu.graphs) == BUCKETS * 2
        assert gpu.launches["graph"] == BUCKETS * (STEPS * EPOCHS - 2 * WARM_UP_STEPS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", CASES)
def test_a_captured_stack_on_a_gpu_is_the_one_without(opened: Open, tmp_path: Path, name: str) -> None:
    found, expected = (stack(opened, tmp_path, name, graph) for graph in ("auto", "off"))
    assert all(rundir.read_environment(run.run)["graph"] is True for run in found)
    require_equal(found, expected)


def test_a_run_says_whether_its_steps_were_captured(opened: Open, tmp_path: Path) -> None:
    for device, graph, expected in (("cuda", "auto", True), ("cuda", "off", None), ("cpu", "auto", None)):
        messages: list[list[str]] = [[], []]

        def listeners(texts: list[str]) -> Any:
            return lambda event: texts.append(event.text) if isinstance(event, Message) else None

        values = {"data.graph": graph, "cl_strategy.train_epochs": 1, "scenario.buckets": ["0"]}
        configs = [opened(tmp_path / device / graph, seed, values) for seed in (0, 1)]
        with RehearsalGpu() if device == "cuda" else nullcontext():
            runs = train_stack(
                configs, device=device, sources=["here.py"] * 2, listeners=[listeners(texts) for texts in messages]
            )
        assert [rundir.read_environment(run.run).get("graph") for run in runs] == [expected] * 2
        for texts in messages:
            said = [text for text in texts if "data.graph" in text]
            assert said == (
                ["data.graph='auto' has no effect on the CPU: CUDA graphs need a GPU"] if device == "cpu" else []
            )


def test_a_captured_run_that_is_stopped_and_resumed_alone_says_so_no_more(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.default_int_handler)  # as in a terminal

    def stop(event: Event) -> None:
        if isinstance(event, EpochDone):
            signal.raise_signal(signal.SIGINT)

    config = opened(tmp_path, 0, {"data.graph": "auto"})
    with RehearsalGpu(), pytest.raises(Stopped):
        train_stack([config], device="cuda", sources=["here.py"], listeners=[stop])
    [run] = tmp_path.iterdir()
    assert rundir.read_environment(run)["graph"] is True
    resume(run, device="cpu")
    assert "graph" not in rundir.read_environment(run)


# A step by itself

RUNS, SAMPLES, CLASSES, WIDTH = 2, 12, 3, 4


def options(**given: Any) -> list[dict[str, Any]]:
    return [{"lr": 0.1 * (run + 1), "momentum": 0.0, "weight_decay": 0.0, "nesterov": False, **given} for run in (0, 1)]


class OneMatrix:
    """As much of a stream as `Features` reads."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(SAMPLES, WIDTH, generator=generator)
        self.buckets = [self]
        self.train = FeatureSamples(x, torch.arange(SAMPLES) % CLASSES, torch.arange(SAMPLES))


def new_step() -> Step:
    weights = {WEIGHT: torch.zeros(RUNS, CLASSES, WIDTH).to(CUDA), BIAS: torch.zeros(RUNS, CLASSES).to(CUDA)}
    stepper = SGD(list(weights.values()), [[{}, {}] for _ in range(RUNS)])
    stepper.set_options(options())
    features = Features(OneMatrix(), CUDA, cosine=False)  # type: ignore[arg-type]
    return Step(features, Heads(weights, None, None), [], stepper)


@contextmanager
def both() -> Iterator[tuple[Step, CapturedStep, RehearsalGpu]]:
    """The same step twice, once to be captured."""
    with RehearsalGpu() as gpu:
        yield new_step(), CapturedStep(new_step(), CUDA), gpu


def take(step: Step | CapturedStep, size: int, given: list[dict[str, Any]]) -> list[Any]:
    of = step.step if isinstance(step, CapturedStep) else step
    of.stepper.set_options(given)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(size))[:size]
    [(rows, y)] = of.features.batches([[order], [order.flip(0)]])
    return [step(rows, y).tolist(), *(weight.tolist() for weight in of.heads.weights.values())]


def test_there_is_a_graph_for_each_size_of_batch_and_each_way_through_the_optimizer() -> None:
    with both() as (plain, captured, gpu):
        kinds = [(8, options()), (3, options()), (8, options(momentum=0.9)), (8, options(weight_decay=0.1))]
        for size, given in kinds * (WARM_UP_STEPS + 2):
            assert take(plain, size, given) == take(captured, size, given)
        assert [graph.replays for graph in gpu.graphs] == [2] * len(kinds)


def test_a_learning_rate_that_changes_needs_no_other_graph() -> None:
    with both() as (plain, captured, gpu):
        for number in range(WARM_UP_STEPS + 4):
            given = options(lr=0.5**number)
            assert take(plain, 8, given) == take(captured, 8, given)
        assert [graph.replays for graph in gpu.graphs] == [4]


def test_a_step_that_waits_cannot_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    step = SGD.step

    def waiting(self: SGD, gradients: Sequence[torch.Tensor]) -> None:
        if gradients[0].sum().item() == gradients[0].sum().item():
            step(self, gradients)

    monkeypatch.setattr(SGD, "step", waiting)
    with both() as (_, captured, _):
        for _ in range(WARM_UP_STEPS):
            take(captured, 8, options())
        with pytest.raises(CapabilityError, match=r"could not be captured.*not permitted.*\nuse data.graph='off'"):
            take(captured, 8, options())
