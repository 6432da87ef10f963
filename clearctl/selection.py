"""The selection of a stream: its buckets and classes, the images of a class to train on, and those held out."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_BUCKETS = 10_000  # in one range


def bucket_names(given: str | Sequence[str | int]) -> list[str]:
    """Bucket names from a list, or from text such as `1-5` or `1,3-5`. Raises ValueError for other text."""
    return list(_numbers(given)) if isinstance(given, str) else [str(name) for name in given]


def _numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, dash, last = (word.strip() for word in part.partition("-"))
        if not (first.isdecimal() and (last.isdecimal() if dash else True)):
            raise ValueError(text)
        run = range(int(first), int(last or first) + 1)
        if not 0 < len(run) <= MOST_BUCKETS:
            raise ValueError(text)
        yield from map(str, run)


def class_names(present: Sequence[str], classes: Sequence[str] | None, drop_classes: Sequence[str]) -> list[str]:
    """The names in `present` that are in `classes` (if given) and not in `drop_classes`, in their order."""
    return [name for name in present if (classes is None or name in classes) and name not in drop_classes]


@dataclass(frozen=True)
class Selection:
    """The classes of a dataset that a stream has, None for all, and how many images of a class a bucket trains on.

    `validation` is the fraction of each class's training images in a bucket that is held out, None for none. Which
    these are, and which `max_per_class` of the others are trained on, is drawn from a seed and the names of the bucket
    and the class only: other classes and buckets do not change it.
    """

    classes: tuple[str, ...] | None = None
    drop_classes: tuple[str, ...] = ()
    max_per_class: int | None = None
    validation: float | None = None

    @property
    def has_all_classes(self) -> bool:
        """Whether no class is left out."""
        return self.classes is None and not self.drop_classes

    def names(self, present: Sequence[str]) -> list[str]:
        """The class names of the stream, in the order of those that are `present` in the dataset."""
        return class_names(present, self.classes, self.drop_classes)

    def indices(self, present: Sequence[str]) -> list[int]:
        """The index in the stream of each class that is `present` in the dataset, -1 if it is left out."""
        number = {name: index for index, name in enumerate(self.names(present))}
        return [number.get(name, -1) for name in present]

    def tested(self, lines: Sequence[int], labels: Sequence[int], present: Sequence[str]) -> list[int]:
        """The line numbers in `lines` whose image has a class of the stream; `labels` has the label of every line."""
        kept = self.indices(present)
        return [line for line in lines if kept[labels[line]] >= 0]

    def trained(
        self, bucket: str, lines: Sequence[int], labels: Sequence[int], present: Sequence[str], seed: int
    ) -> list[int]:
        """Like `tested`, with at most `max_per_class` lines of each class, in the order of `lines`."""
        lines = self.tested(lines, labels, present)
        if self.max_per_class is None:
            return list(lines)
        drawn: set[int] = set()
        for label, candidates in by_class(lines, labels).items():
            if len(candidates) > self.max_per_class:
                generator = random.Random(f"{seed} {bucket} {present[label]}")
                candidates = generator.sample(candidates, self.max_per_class)
            drawn.update(candidates)
        return [line for line in lines if line in drawn]

    def held_out(
        self, bucket: str, lines: Sequence[int], labels: Sequence[int], present: Sequence[str], seed: int
    ) -> list[int]:
        """The lines of a bucket's training part that are held out, in the order of `lines`.

        Of n images of a class, n · `validation`, rounded, and at least one: `too_few` checks whether any are left.
        """
        if self.validation is None:
            return []
        drawn: set[int] = set()
        for label, candidates in by_class(self.tested(lines, labels, present), labels).items():
            generator = random.Random(f"validation {seed} {bucket} {present[label]}")
            drawn.update(generator.sample(candidates, min(self.num_held_out(len(candidates)), len(candidates))))
        return [line for line in lines if line in drawn]

    def num_held_out(self, count: int) -> int:
        """The number of the `count` training images of a class that are held out."""
        return max(1, int(count * (self.validation or 0.0) + 0.5))

    def too_few(self, lines: Sequence[int], labels: Sequence[int], present: Sequence[str]) -> dict[int, int]:
        """{class index in the dataset: number of images} of the classes of which validation would take all images."""
        if self.validation is None:
            return {}
        counts = {label: len(of) for label, of in by_class(self.tested(lines, labels, present), labels).items()}
        return {label: count for label, count in counts.items() if self.num_held_out(count) >= count}


def by_class(lines: Sequence[int], labels: Sequence[int]) -> dict[int, list[int]]:
    """{class index: its lines, in the order of `lines`}; `labels` has the label of every line."""
    of_class: dict[int, list[int]] = {}
    for line in lines:
        of_class.setdefault(labels[line], []).append(line)
    return of_class
