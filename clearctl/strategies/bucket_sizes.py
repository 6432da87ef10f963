"""What a strategy and its plugins ask of the number of samples in the buckets."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from clearctl.strategies.traits import MEM_SIZE, traits_of

Entries = list[tuple[str, Mapping[str, Any]]]


def asks_for_samples(section: Mapping[str, Any]) -> bool:
    """Whether anything here depends on how many samples there are, for a config's cl_strategy `section`."""
    found = [traits_of(entry.get("type")) for _, entry in _entries(section)]
    return any(traits.splits_buckets or traits.least_steps or traits.steps_to_rise for traits in found)


def training_steps(section: Mapping[str, Any], sizes: Sequence[int]) -> list[int]:
    """The steps of each bucket, or of the whole stream where it is learned at once, for so many samples.

    A memory that is learned beside a bucket may make them more.
    """
    learned = list(sizes)
    learns = traits_of(section["type"]).learns
    if learns == "stream":
        learned = [sum(sizes)]
    elif learns == "buckets so far":
        learned = list(accumulate(sizes))
    of_memory = [entry for _, entry in _entries(section) if traits_of(entry.get("type")).learns == "memory"]
    if of_memory:
        learned = [min(count, _memory(of_memory[0])) for count in accumulate(sizes)]
    batch, epochs = section.get("train_mb_size", 1), section.get("train_epochs", 1)
    return [epochs * -(-count // batch) for count in learned]


def check_against_samples(
    section: Mapping[str, Any], labels: Sequence[Sequence[int]], names: Sequence[str]
) -> list[tuple[str, str]]:
    """(key below cl_strategy, what is wrong) for settings that would end a run, or spoil its weights.

    `section` is a config's cl_strategy that has passed the check; `labels` are the class indices that each bucket,
    called by `names`, has to learn from.
    """
    faults = []
    steps = training_steps(section, [len(part) for part in labels])
    for place, entry in _entries(section):
        traits = traits_of(entry.get("type"))
        if traits.least_steps is not None and steps[0] < (least := entry.get(*traits.least_steps)):
            text = (
                f"{least} steps, but bucket {names[0]} has {steps[0]} (train_epochs x batches): {entry['type']} would"
                " divide by a score of 0, and the weights become NaN"
            )
            faults.append((f"{place}{traits.least_steps[0]}", text))
        if traits.splits_buckets:
            faults += _held_out(place, entry, labels, names)
    return faults


def sample_notices(section: Mapping[str, Any], labels: Sequence[Sequence[int]], names: Sequence[str]) -> Iterator[str]:
    """A line for each setting that has no effect, or another than one may think, with so many samples."""
    steps = training_steps(section, [len(part) for part in labels])
    for place, entry in _entries(section):
        argument = traits_of(entry.get("type")).steps_to_rise
        if argument is None:
            continue
        wanted, every_bucket = entry[argument], entry.get("every_bucket", True)
        most = max(steps) if every_bucket else sum(steps)
        where = f"bucket {names[steps.index(most)]}, the longest," if every_bucket and len(steps) > 1 else "the run"
        if most < wanted:
            yield (
                f"cl_strategy.{place}{argument}: {entry['type']} rises for {wanted} steps, but {where} has {most}: the"
                " learning rate never reaches its value"
            )


def _entries(section: Mapping[str, Any]) -> Entries:
    """(prefix of its keys, entry) of the strategy and its plugins."""
    plugins = section.get("plugins") or []
    return [("", section), *((f"plugins.{index}.", entry) for index, entry in enumerate(plugins))]


def _memory(entry: Mapping[str, Any]) -> int:
    size = (entry.get("buffer") or {}).get("max_size") or entry.get("mem_size")
    return MEM_SIZE if size is None else int(size)


def _held_out(
    place: str, entry: Mapping[str, Any], labels: Sequence[Sequence[int]], names: Sequence[str]
) -> list[tuple[str, str]]:
    """BiC holds as many samples of each class out for its correction, and a bucket has to have more of one."""
    seen: set[int] = set()
    for part, name in zip(labels, names, strict=True):
        counts = Counter(part)
        seen |= counts.keys()
        held_out = int(entry.get("val_percentage", 0.1) * _memory(entry)) // len(seen)
        if max(counts.values()) <= held_out:
            text = (
                f"BiC holds out {held_out} samples of each class (val_percentage x mem_size / classes), but bucket"
                f" {name} has at most {max(counts.values())}: lower cl_strategy.{place}val_percentage or mem_size"
            )
            return [(f"{place}val_percentage", text)]
    return []
