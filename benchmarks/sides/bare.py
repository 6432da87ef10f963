"""A bare PyTorch loop on resident tensors that does what each strategy does in a step, without metrics or loggers.

A batch is gathered with index_select, which is faster here than x[rows]; a test batch is a view.
"""

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.sides.task import BATCH, LR, MOMENTUM, STRATEGIES, Times


def learn(folder: Path, strategy: str, epochs: int, device: str) -> Times:
    """Train on each bucket of a feature folder, test on all after each."""
    import torch

    from benchmarks.folders import CLASSES, DIMENSION

    target = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    files = sorted(folder.glob("training_folder/features/random/*/all.pth"), key=lambda file: int(file.parent.name))
    x = torch.cat([torch.load(file)[0] for file in files]).to(target)
    y = torch.cat([torch.tensor(torch.load(file)[1]) for file in files]).to(target)
    buckets = torch.arange(len(x), device=target).chunk(len(files))
    layer = torch.nn.Linear(DIMENSION, CLASSES).to(target)
    optimizer = torch.optim.SGD(layer.parameters(), lr=LR, momentum=MOMENTUM)
    penalty: Callable[..., Any] | None = None
    earlier: list[Any] = []
    memory = None
    times = Times()

    def now() -> float:
        if target.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    first = now()
    for number, rows in enumerate(buckets):
        for _ in range(epochs):
            started = now()
            for batch in _batches(rows, memory):
                inputs = x.index_select(0, batch)
                optimizer.zero_grad()
                scores = layer(inputs)
                loss = torch.nn.functional.cross_entropy(scores, y.index_select(0, batch))
                if penalty is not None:
                    loss = loss + penalty(inputs, scores)
                loss.backward()
                optimizer.step()
            times.epochs.append(now() - started)
        if strategy == "Replay":
            memory = _memory(buckets[: number + 1], STRATEGIES["Replay"]["mem_size"])
        elif strategy == "LwF":
            penalty = _distillation(copy.deepcopy(layer), **STRATEGIES["LwF"])
        elif strategy == "EWC":
            earlier.append(_importances(layer, optimizer, x, y, rows))
            penalty = _pull(layer, earlier, STRATEGIES["EWC"]["ewc_lambda"])
        started = now()
        _evaluate(layer, x, y, buckets)
        times.evaluations.append(now() - started)
    times.whole = now() - first
    return times


def _batches(rows: Any, memory: Any | None) -> Iterator[Any]:
    """Row numbers of each batch of an epoch; those of a batch from the memory behind them, as in Replay."""
    import torch

    def shuffled(of: Any) -> Any:
        return of[torch.randperm(len(of), device=of.device)].split(BATCH)

    if memory is None:
        yield from shuffled(rows)
        return
    replayed = iter(shuffled(memory))
    for batch in shuffled(rows):
        again = next(replayed, None)
        if again is None:
            replayed = iter(shuffled(memory))
            again = next(replayed)
        yield torch.cat([batch, again])


def _memory(seen: Any, size: int) -> Any:
    """The same share of every bucket seen, drawn at random."""
    import torch

    share = size // len(seen)
    return torch.cat([rows[torch.randperm(len(rows), device=rows.device)[:share]] for rows in seen])


def _distillation(teacher: Any, alpha: float, temperature: float) -> Callable[..., Any]:
    import torch
    from torch.nn import functional

    def penalty(inputs: Any, scores: Any) -> Any:
        with torch.no_grad():
            wanted = torch.softmax(teacher(inputs) / temperature, dim=1)
        found = torch.log_softmax(scores / temperature, dim=1)
        return alpha * functional.kl_div(found, wanted, reduction="batchmean")

    return penalty


def _importances(layer: Any, optimizer: Any, x: Any, y: Any, rows: Any) -> list[tuple[Any, Any]]:
    """(squared gradient, mean over the batches; value) of each parameter."""
    import torch

    sums = [torch.zeros_like(parameter) for parameter in layer.parameters()]
    batches = rows.split(BATCH)
    for batch in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(layer(x.index_select(0, batch)), y.index_select(0, batch)).backward()
        for total, parameter in zip(sums, layer.parameters(), strict=True):
            total += parameter.grad.pow(2)
    values = [parameter.detach().clone() for parameter in layer.parameters()]
    return [(total / len(batches), value) for total, value in zip(sums, values, strict=True)]


def _pull(layer: Any, earlier: list[list[tuple[Any, Any]]], strength: float) -> Callable[..., Any]:
    """EWC's penalty in mode separate: a term for each earlier bucket and parameter."""

    def penalty(inputs: Any, scores: Any) -> Any:
        terms: Any = 0.0
        for bucket in earlier:
            for parameter, (importance, value) in zip(layer.parameters(), bucket, strict=True):
                terms = terms + (importance * (parameter - value).pow(2)).sum()
        return strength * terms

    return penalty


def _evaluate(layer: Any, x: Any, y: Any, buckets: Any) -> list[tuple[float, float]]:
    """(accuracy, loss) of every bucket."""
    import torch

    results = []
    with torch.no_grad():
        for rows in buckets:
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            right, total = torch.zeros((), device=x.device), torch.zeros((), device=x.device)
            for inputs, labels in zip(x[part].split(BATCH), y[part].split(BATCH), strict=True):
                scores = layer(inputs)
                total += torch.nn.functional.cross_entropy(scores, labels) * len(labels)
                right += (scores.argmax(dim=1) == labels).sum()
            results.append((float(right) / len(rows), float(total) / len(rows)))
    return results
