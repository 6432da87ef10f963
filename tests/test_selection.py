"""Which buckets and classes of a dataset a stream has, and which images are drawn of a class."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearctl.selection import Selection, bucket_names

NAMES = ("BACKGROUND", "camera", "cup of tea", "dress")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1-3", ["1", "2", "3"]),
        ("4", ["4"]),
        ("1, 3-4", ["1", "3", "4"]),
        (["2", 1], ["2", "1"]),
    ],
)
def test_buckets_are_named_in_a_list_or_a_text(text: object, names: list[str]) -> None:
    assert bucket_names(text) == names  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "-2", "1,,2", "1-99999999"])
def test_other_text_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        bucket_names(text)


def test_classes_keep_the_order_of_the_dataset() -> None:
    chosen = Selection(classes=("dress", "camera"))
    assert chosen.names(NAMES) == ["camera", "dress"]
    assert chosen.indices(NAMES) == [-1, 0, -1, 1]
    assert Selection(drop_classes=("BACKGROUND",)).indices(NAMES) == [-1, 0, 1, 2]
    assert (Selection().has_all_classes, chosen.has_all_classes) == (True, False)


LABELS = st.lists(st.integers(0, len(NAMES) - 1), min_size=1, max_size=40)


@given(labels=LABELS, most=st.integers(1, 5), seed=st.integers(0, 3))
def test_so_many_of_each_class_are_drawn_and_the_same_ones_whatever_else_there_is(
    labels: list[int], most: int, seed: int
) -> None:
    lines = list(range(len(labels)))
    chosen = Selection(max_per_class=most)
    drawn = chosen.trained("1", lines, labels, NAMES, seed)
    assert drawn == sorted(drawn)
    for label in range(len(NAMES)):
        of_class = [line for line in lines if labels[line] == label]
        assert sum(labels[line] == label for line in drawn) == min(most, len(of_class))
        alone = Selection(classes=(NAMES[label],), max_per_class=most)
        assert alone.trained("1", lines, labels, NAMES, seed) == [line for line in drawn if labels[line] == label]
    assert chosen.tested(lines, labels, NAMES) == lines


def test_another_seed_or_bucket_draws_others() -> None:
    labels = [0] * 50
    draws = {
        tuple(Selection(max_per_class=5).trained(bucket, range(50), labels, NAMES, seed))
        for seed in (0, 1)
        for bucket in ("1", "2")
    }
    assert len(draws) == 4
