"""Takes the time of whatever strategy of Avalanche's learns in this process, clearctl's runs and plain ones alike."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.sides.task import Times


def take_times() -> Times:
    """Times that fill as strategies learn in this process.

    An epoch is from before its first callback to after its last. metrics.jsonl has seconds too, but those end before
    the metrics of the epoch are computed and logged, which is part of what is compared.
    """
    from avalanche.training.templates import BaseSGDTemplate

    times = Times()
    marks: dict[str, float] = {}

    def wrapped(
        method: Callable[..., Any], before: Callable[[], None], after: Callable[[], None]
    ) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            before()
            try:
                return method(*args, **kwargs)
            finally:
                after()

        return run

    def start(name: str) -> Callable[[], None]:
        def mark() -> None:
            marks[name] = _now()
            marks.setdefault("first", marks[name])
            marks.setdefault("first_cpu", time.process_time())

        return mark

    def end(name: str, seconds: list[float]) -> Callable[[], None]:
        def note() -> None:
            now = _now()
            seconds.append(now - marks[name])
            times.whole = now - marks["first"]
            times.whole_cpu = time.process_time() - marks["first_cpu"]
            times.first_epoch_at = times.first_epoch_at or now

        return note

    def nothing() -> None:
        pass

    for name, before, after in (
        ("_before_training_epoch", start("epoch"), nothing),
        ("_after_training_epoch", nothing, end("epoch", times.epochs)),
        ("eval", start("evaluation"), end("evaluation", times.evaluations)),
    ):
        setattr(BaseSGDTemplate, name, wrapped(getattr(BaseSGDTemplate, name), before, after))
    return times


def only_draw_batches() -> None:
    """Make strategies load their batches onto the device without learning from them: the data path alone."""
    import torch
    from avalanche.training.templates.update_type import SGDUpdate

    def draw(strategy: Any, **kwargs: Any) -> None:
        for strategy.mbatch in strategy.dataloader:  # noqa: B020 as Avalanche does it
            strategy._unpack_minibatch()
            assert strategy.mb_x.dtype is torch.float32, "this is not yet what the network takes"

    SGDUpdate.training_epoch = draw


def _now() -> float:
    import torch

    if torch.cuda.is_initialized():  # what was only queued on the device has not been done
        torch.cuda.synchronize()
    return time.perf_counter()
