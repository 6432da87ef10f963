"""Checks what a strategy and its plugins require of the number of samples in the buckets."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from clearctl.config.findings import Fault
from clearctl.config.settings import Call, SchedulerSettings, StrategySettings
from clearctl.strategies.methods.buffers import memory_size
from clearctl.strategies.registry import argument
from clearctl.strategies.traits import traits_of


def depends_on_sample_counts(strategy: StrategySettings) -> bool:
    """Whether a check here depends on the number of samples."""
    found = [traits_of(call.type) for call in strategy.calls]
    if strategy.eval_every_steps is not None:
        return True
    if strategy.scheduler is not None and any(_cycles(strategy.scheduler.call)):
        return True
    if any(traits.number_or for traits in found):
        return True
    return any(traits.splits_buckets or traits.least_steps or traits.steps_to_rise for traits in found)


def training_steps(strategy: StrategySettings, sizes: Sequence[int]) -> list[int]:
    """The steps of each bucket, or of the whole stream where it is learned at once, for so many samples.

    A memory that is learned beside a bucket may make them more.
    """
    learned = list(sizes)
    learns = traits_of(strategy.call.type).learns
    if learns == "stream":
        learned = [sum(sizes)]
    elif learns == "buckets so far":
        learned = list(accumulate(sizes))
    from_memory = [call for call in strategy.calls if traits_of(call.type).learns == "memory"]
    if from_memory:
        learned = [min(count, memory_of(from_memory[0], strategy)) for count in accumulate(sizes)]
    return [strategy.train_epochs * -(-count // strategy.train_mb_size) for count in learned]


def memory_of(call: Call, strategy: StrategySettings) -> int:
    """The number of samples that the memory of the strategy, or of a plugin, holds."""
    buffer = strategy.buffer.arguments.get("max_size") if strategy.buffer and call is strategy.call else None
    return int(buffer or memory_size(call.arguments.get("mem_size"), None))


def check_against_samples(
    strategy: StrategySettings, labels: Sequence[Sequence[int]], names: Sequence[str]
) -> list[Fault]:
    """The faults of settings that would end a run, or spoil its weights.

    `labels` are the class indices that each bucket, called by `names`, has to learn from.
    """
    faults = []
    steps = training_steps(strategy, [len(part) for part in labels])
    for call in strategy.calls:
        traits = traits_of(call.type)
        if traits.least_steps is not None and steps[0] < (least := argument(call, traits.least_steps)):
            text = (
                f"{least} steps, but bucket {names[0]} has {steps[0]} (train_epochs x batches): {call.type} would"
                " divide by a score of 0, and the weights become NaN"
            )
            faults.append(call.fault(text, traits.least_steps))
        faults += _too_few_to_validate(call, traits.number_or, labels, names)
        if traits.splits_buckets:
            faults += _held_out(call, memory_of(call, strategy), labels, names)
    if strategy.scheduler is not None:
        faults += _too_short(strategy.scheduler, strategy.train_epochs, steps)
    if strategy.eval_every_steps is not None and strategy.eval_every_steps > sum(steps):
        text = f"found {strategy.eval_every_steps}, but the run has only {sum(steps)} steps: it would never be tested"
        faults.append(strategy.call.fault(text, "eval_every_steps"))
    return faults


def sample_notices(strategy: StrategySettings, labels: Sequence[Sequence[int]], names: Sequence[str]) -> Iterator[str]:
    """A line for each setting with no or a surprising effect for these numbers of samples."""
    steps = training_steps(strategy, [len(part) for part in labels])
    for call in strategy.calls:
        name = traits_of(call.type).steps_to_rise
        if name is None:
            continue
        wanted, every_bucket = argument(call, name), argument(call, "every_bucket")
        most = max(steps) if every_bucket else sum(steps)
        where = f"bucket {names[steps.index(most)]}, the longest," if every_bucket and len(steps) > 1 else "the run"
        if most < wanted:
            yield (
                f"{call.key}.{name}: {call.type} rises for {wanted} steps, but {where} has {most}: the learning rate"
                " never reaches its value"
            )


def _too_few_to_validate(
    call: Call, chosen: Iterable[str], labels: Sequence[Sequence[int]], names: Sequence[str]
) -> Iterator[Fault]:
    """A number that is chosen on samples held out of each class needs a class with two of them."""
    by_validation = [name for name in chosen if argument(call, name) == "validation"]
    every = by_validation and argument(call, "validate_every_bucket")
    for name in by_validation:
        for part, bucket in zip(labels if every else labels[:1], names, strict=False):
            if max(Counter(part).values(), default=0) < 2:
                text = f"'validation', but bucket {bucket} has no class with two samples, one of them to hold out"
                yield call.fault(f"{text}: give a number, such as 1.0", name)
                break


def _too_short(scheduler: SchedulerSettings, epochs: int, steps: Sequence[int]) -> Iterator[Fault]:
    """OneCycleLR raises if it steps more often than the cycle is long."""
    counted = {"step": list(steps), "epoch": [epochs] * len(steps), "bucket": [1] * len(steps)}[scheduler.by]
    resets = scheduler.by != "bucket" if scheduler.reset is None else scheduler.reset
    taken = max(counted) if resets else sum(counted)
    for call, begins, ends in _cycles(scheduler.call):
        given = call.arguments
        length = given.get("total_steps") or (given.get("epochs") or 0) * (given.get("steps_per_epoch") or 0)
        most = min(taken, ends) - begins
        if length and most > length:
            where = "the largest bucket" if resets else "the run"
            text = f"OneCycleLR is {length} steps long, but {where} has {most} (by='{scheduler.by}'): set it to {most}"
            yield call.fault(text, "total_steps" if "total_steps" in given else "")


def _cycles(call: Call, begins: int = 0, ends: int = sys.maxsize) -> Iterator[tuple[Call, int, int]]:
    """(each OneCycleLR, the steps after which it begins and ends), those inside other schedulers too."""
    if call.type == "OneCycleLR":
        yield call, begins, ends
    inner, given = call.arguments.get("schedulers") or [], call.arguments.get("milestones")
    milestones = given if call.type == "SequentialLR" and isinstance(given, list | tuple) else ()
    for index, each in enumerate(inner):
        first = milestones[index - 1] if 0 < index <= len(milestones) else 0
        last = milestones[index] if index < len(milestones) else ends
        yield from _cycles(each, begins + first, min(ends, last))


def _held_out(call: Call, memory: int, labels: Sequence[Sequence[int]], names: Sequence[str]) -> Iterator[Fault]:
    """BiC holds as many samples of each class out for its correction, and a bucket has to have more of one."""
    seen: set[int] = set()
    for part, name in zip(labels, names, strict=True):
        counts = Counter(part)
        seen |= counts.keys()
        held_out = int(argument(call, "val_percentage") * memory) // len(seen)
        if max(counts.values()) <= held_out:
            yield call.fault(
                f"BiC holds out {held_out} samples of each class (val_percentage x mem_size / classes), but bucket"
                f" {name} has at most {max(counts.values())}: lower {call.key}.val_percentage or mem_size",
                "val_percentage",
            )
            return
