"""The published split procedures: which lines of a file list go into which part.

Pure functions: they read and write nothing.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from clearctl.dataset.labeled import LabeledImage


@dataclass(frozen=True)
class Split:
    """Line numbers of a bucket's all.txt, from 0, in the order of the files; each is on one side, once."""

    train: list[int]
    test: list[int]


def filelist_lines(images: Iterable[LabeledImage]) -> list[str]:
    """The lines of all.txt: path, space, class index."""
    return [f"{image.path} {image.class_index}" for image in images]


def random_split(num_images: int, test_ratio: float, seed: int) -> Split:
    """The published split of a bucket: shuffled line numbers, the last int(n · test_ratio) for testing."""
    order = list(range(num_images))
    Random(seed).shuffle(order)
    num_train = num_images - int(num_images * test_ratio)
    return Split(order[:num_train], order[num_train:])


def few_shot_split(members: Sequence[Sequence[int]], shot: int, seed: int) -> Split:
    """The published few-shot split of a bucket: `shot` images of each class to train on, the rest to test on.

    `members` are the line numbers of each class, in file order, the classes in the order of their index, absent ones
    too (`lines_by_class`). Each class is shuffled with a newly seeded generator; both sides are shuffled again at
    the end, without seeding again.
    """
    return _split_by_class(members, lambda order: (order[:shot], order[shot:]), seed)


def stratified_split(members: Sequence[Sequence[int]], test_ratio: float, seed: int) -> Split:
    """As `few_shot_split`, with the first int(n_class · test_ratio) images of each class to the test set."""

    def cut(order: list[int]) -> tuple[list[int], list[int]]:
        num_test = int(len(order) * test_ratio)
        return order[num_test:], order[:num_test]

    return _split_by_class(members, cut, seed)


def lines_by_class(labels: Sequence[int], num_classes: int) -> list[list[int]]:
    """The line numbers of each class, in file order; the classes in the order of their index, absent ones empty."""
    members: list[list[int]] = [[] for _ in range(num_classes)]
    for number, label in enumerate(labels):
        members[label].append(number)
    return members


def split_files(folder: Path, lines: Sequence[str], split: Split, *, newline_at_end: bool) -> dict[Path, bytes]:
    """{path below `folder`: bytes} of the four files of a bucket's split; `lines` are those of its all.txt.

    The published ratio splits have no newline after the last line of a .txt, the few-shot splits have one.
    """
    files = {}
    for side, numbers in (("train", split.train), ("test", split.test)):
        text = "\n".join(lines[number] for number in numbers)
        files[folder / f"{side}.txt"] = (text + "\n" * newline_at_end).encode()
        files[folder / f"{side}_indices.json"] = json.dumps(numbers).encode()
    return files


def _split_by_class(
    members: Sequence[Sequence[int]], cut: Callable[[list[int]], tuple[list[int], list[int]]], seed: int
) -> Split:
    """`cut` gives the train and the test part of a class's shuffled line numbers."""
    train: list[int] = []
    test: list[int] = []
    generator = Random()
    for lines in members:
        order = list(lines)
        # An absent class seeds too: what the last one left of the generator decides the shuffles at the end.
        generator.seed(seed)
        generator.shuffle(order)
        to_train, to_test = cut(order)
        train += to_train
        test += to_test
    generator.shuffle(train)
    generator.shuffle(test)
    return Split(train, test)
