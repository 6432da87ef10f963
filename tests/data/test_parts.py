"""What is trained on, tested on and held out of a bucket never overlap but where the protocol says so."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearctl.data.parts import parts_of_buckets
from clearctl.dataset.splits import Split, random_split, split_files
from clearctl.errors import ConfigError
from clearctl.selection import Selection

NAMES = ("BACKGROUND", "camera", "cup of tea", "dress")
LABELS = st.lists(st.integers(0, len(NAMES) - 1), min_size=8, max_size=60)
SHARES = st.sampled_from([0.1, 0.25, 0.5])


def parts(labels: list[int], share: float, seed: int, *, split: bool, evaluate_on: str = "test", **selected: object):
    """(train, test, validation) lines of the bucket "3", with a split of 30 % on disk if it is iid."""
    listed = [(f"3/{NAMES[label]}/{number}.jpg", label) for number, label in enumerate(labels)]
    selection = Selection(validation=share, **selected)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        if split:
            write_split(Path(folder) / "3", listed, random_split(len(listed), 0.3, seed))
        found = parts_of_buckets({"3": listed}, Path(folder) if split else None, selection, NAMES, seed, evaluate_on)
    train, test, *rest = found["3"].values()
    return train, test, rest[0] if rest else test


def write_split(folder: Path, listed: list[tuple[str, int]], split: Split) -> None:
    folder.mkdir()
    lines = [f"{path} {label}" for path, label in listed]
    for file, content in split_files(folder, lines, split, newline_at_end=False).items():
        file.write_bytes(content)


def by_class(lines: list[int], labels: list[int]) -> dict[int, int]:
    return {label: sum(labels[line] == label for line in lines) for label in range(len(NAMES))}


@given(labels=LABELS, share=SHARES, seed=st.integers(0, 3), split=st.booleans(), most=st.sampled_from([None, 1, 3]))
def test_no_image_of_the_validation_part_is_trained_or_tested_on(
    labels: list[int], share: float, seed: int, split: bool, most: int | None
) -> None:
    whole = random_split(len(labels), 0.3, seed) if split else Split(list(range(len(labels))), list(range(len(labels))))
    there = by_class(whole.train, labels)
    short = sum(0 < count <= max(1, int(count * share + 0.5)) for count in there.values())
    if short:
        with pytest.raises(ConfigError, match=rf"scenario.validation: .* leaves {short} without training images"):
            parts(labels, share, seed, split=split)
        return
    train, test, held_out = parts(labels, share, seed, split=split, max_per_class=most)
    assert not set(held_out) & (set(train) | set(test))
    assert held_out == [line for line in whole.train if line in held_out]
    for label, count in by_class(held_out, labels).items():
        assert count == (max(1, int(there[label] * share + 0.5)) if there[label] else 0)
        left = there[label] - count
        assert by_class(train, labels)[label] == (left if most is None else min(most, left))
    assert set(test) == (set(whole.test) if split else set(whole.train) - set(held_out))
    assert parts(labels, share, seed, split=split, evaluate_on="validation", max_per_class=most) == (
        train,
        held_out,
        held_out,
    )


def test_what_is_held_out_of_a_class_does_not_depend_on_the_others() -> None:
    labels = [0, 1, 2, 3] * 10
    _, _, held_out = parts(labels, 0.25, 0, split=False)
    _, _, alone = parts(labels, 0.25, 0, split=False, classes=("camera",))
    assert alone == [line for line in held_out if labels[line] == 1]
    assert parts(labels, 0.25, 1, split=False)[2] != held_out


def test_no_file_of_the_test_part_is_read_where_the_validation_part_is_tested(tmp_path: Path) -> None:
    listed = [(f"3/camera/{number}.jpg", 1) for number in range(20)]
    write_split(tmp_path / "3", listed, random_split(20, 0.3, 0))
    (tmp_path / "3" / "test.txt").write_text("garbage")
    (tmp_path / "3" / "test_indices.json").unlink()
    found = parts_of_buckets({"3": listed}, tmp_path, Selection(validation=0.1), NAMES, 0, "validation")["3"]
    assert {name: len(part) for name, part in found.items()} == {"train": 13, "test": 1}
    assert set(found["train"]) | set(found["test"]) == set(
        json.loads((tmp_path / "3" / "train_indices.json").read_text())
    )


def test_classes_with_too_few_images_are_counted_and_three_are_named() -> None:
    listed = {str(bucket): [("a", label) for label in (0, 0, 0, 1, 2)] for bucket in range(2)}
    with pytest.raises(ConfigError) as caught:
        parts_of_buckets(listed, None, Selection(validation=0.1), NAMES, 0)
    assert str(caught.value) == (
        "scenario.validation: 0.1 of each class is held out, which leaves 4 without training images:"
        " 'camera' in bucket 0 has 1, 'cup of tea' in bucket 0 has 1, 'camera' in bucket 1 has 1 and 1 more"
    )


def test_what_the_classes_leave_out_of_the_tested_part_is_a_part_of_its_own() -> None:
    labels = [0, 1, 2, 3] * 10
    listed = {"3": [(f"3/{NAMES[label]}/{number}.jpg", label) for number, label in enumerate(labels)]}
    chosen = Selection(classes=("camera", "dress"), validation=0.25)
    found = parts_of_buckets(listed, None, chosen, NAMES, 0, left_out=True)["3"]
    assert list(found) == ["train", "test", "validation", "left_out"]
    assert found["left_out"] == [line for line, label in enumerate(labels) if label in (0, 2)]
    assert {labels[line] for name in ("train", "test", "validation") for line in found[name]} == {1, 3}
