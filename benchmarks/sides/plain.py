"""Plain Avalanche: its strategies, benchmark, metrics, logger and loaders, over features in memory or image files."""

import sys
from pathlib import Path
from typing import Any

from benchmarks.sides.stopwatch import take_times
from benchmarks.sides.task import BATCH, GRID, LR, MOMENTUM, STRATEGIES, Times


def learn(folder: Path, strategy: str, epochs: int, device: str) -> Times:
    """Train on each bucket of a feature folder, test on all after each, as the examples of Avalanche do."""
    times = take_times()
    learner, benchmark = read(folder, strategy, epochs, device)
    for experience in benchmark.train_stream:
        learner.train(experience, eval_streams=[])
        learner.eval(benchmark.test_stream)
    return times


def read(folder: Path, strategy: str, epochs: int, device: str) -> tuple[Any, Any]:
    """(strategy, benchmark) for a feature folder."""
    import torch

    from benchmarks.folders import CLASSES, DIMENSION

    benchmark = _benchmark(folder)
    model = torch.nn.Linear(DIMENSION, CLASSES)
    file = open(folder.parent / "plain.log", "a")  # noqa: SIM115 the strategy's logger writes into it
    return build(strategy, model, epochs, device, file=file), benchmark


def learn_streaming_lda(folder: Path) -> Times:
    """StreamingLDA on the CPU and without metrics: each bucket of a feature folder, and a test of all after each."""
    import torch
    from avalanche.training.plugins import EvaluationPlugin
    from avalanche.training.supervised import StreamingLDA

    from benchmarks.folders import CLASSES

    times, benchmark = take_times(), _benchmark(folder)
    learner = StreamingLDA(
        slda_model=torch.nn.Identity(),
        criterion=torch.nn.CrossEntropyLoss(),
        input_size=benchmark.train_stream[0].dataset[0][0].shape[0],
        num_classes=CLASSES,
        train_mb_size=BATCH,
        eval_mb_size=BATCH,
        evaluator=EvaluationPlugin(loggers=[]),
    )
    for experience in benchmark.train_stream:
        learner.train(experience, eval_streams=[])
        learner.eval(benchmark.test_stream)
    return times


def _benchmark(folder: Path) -> Any:
    import torch
    from avalanche.benchmarks.scenarios.deprecated import generic_benchmark_creation as creation

    torch.manual_seed(0)
    files = sorted(folder.glob("training_folder/features/random/*/all.pth"), key=lambda file: int(file.parent.name))
    buckets = [(x, torch.tensor(y)) for x, y in map(torch.load, files)]
    # As avalanche.benchmarks.CLEAR makes it, but with one task label, as clearctl's runs have by default.
    return creation.create_generic_benchmark_from_tensor_lists(buckets, buckets, task_labels=[0] * len(buckets))


def build(strategy: str, model: Any, epochs: int, device: str, *, file: Any = None, batch: int = BATCH) -> Any:
    """A strategy of Avalanche, by its name or the grid's.

    With a log file the metrics are those of configs/_base_/metrics.py, else none.
    """
    import torch
    from avalanche.evaluation import metrics
    from avalanche.logging import TextLogger
    from avalanche.training import supervised
    from avalanche.training.plugins import EvaluationPlugin

    levels = {"minibatch": True, "epoch": True, "experience": True, "stream": True}
    measured = [
        metrics.accuracy_metrics(**levels),
        metrics.loss_metrics(**levels),
        metrics.forgetting_metrics(experience=True, stream=True),
    ]
    evaluator = EvaluationPlugin(*measured, loggers=[TextLogger(file)]) if file else EvaluationPlugin(loggers=[])
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    kind, arguments = GRID[strategy] if strategy in GRID else (strategy, STRATEGIES[strategy])
    return getattr(supervised, kind)(
        model=model,
        optimizer=optimizer,
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=batch,
        eval_mb_size=batch,
        train_epochs=epochs,
        device=torch.device(auto if device == "auto" else device),
        evaluator=evaluator,
        **arguments,
    )


def main() -> None:
    """`python -m benchmarks.sides.plain FOLDER DEVICE`: an epoch of Naive; prints its seconds as soon as it is over."""
    times = take_times()
    learner, benchmark = read(Path(sys.argv[1]), "Naive", 1, sys.argv[2])
    learner.train(benchmark.train_stream[0], eval_streams=[])
    print(times.epochs[0], flush=True)


if __name__ == "__main__":
    main()
