"""The published split procedures: which lines of a file list go where.

Pure functions: they read and write nothing.
"""

import json
from collections.abc import Iterable, Sequence
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


def stratified_split(labels: Sequence[int], test_ratio: float, seed: int) -> Split:
    """As the published few-shot split, with int(n_class · test_ratio) images of each class to the test set.

    `labels` are the class indices of the bucket's lines. For each class in the order of the index its line
    numbers are shuffled with a generator seeded anew; both sides are shuffled once more at the end, without
    seeding again.
    """
    train: list[int] = []
    test: list[int] = []
    generator = Random()
    for members in _lines_by_class(labels):
        generator.seed(seed)
        generator.shuffle(members)
        num_test = int(len(members) * test_ratio)
        test += members[:num_test]
        train += members[num_test:]
    generator.shuffle(train)
    generator.shuffle(test)
    return Split(train, test)


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


def _lines_by_class(labels: Sequence[int]) -> list[list[int]]:
    """The line numbers of each class that occurs, in file order; the classes in the order of their index."""
    members: dict[int, list[int]] = {}
    for number, label in enumerate(labels):
        members.setdefault(label, []).append(number)
    return [members[label] for label in sorted(members)]
