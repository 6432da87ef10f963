import random
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clearctl.dataset.importing.names import class_names_of, clean_name, image_ids, natural_key

NAMES = st.text(min_size=1, max_size=20)


def test_natural_order() -> None:
    names = ["2010", "b10", "b9", "a", "2004", "b09", "B1", "10", "9", "x2y10", "x2y9"]
    assert sorted(names, key=natural_key) == ["9", "10", "2004", "2010", "B1", "a", "b09", "b9", "b10", "x2y9", "x2y10"]


@given(st.lists(NAMES, unique=True))
def test_natural_order_is_total(names: list[str]) -> None:
    ordered = sorted(names, key=natural_key)
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == ordered
    assert len({natural_key(name) for name in names}) == len(names)


@given(st.lists(st.integers(0, 10**30), unique=True))
def test_numbers_are_in_their_order(numbers: list[int]) -> None:
    assert sorted(map(str, numbers), key=natural_key) == list(map(str, sorted(numbers)))


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("cup of tea", "cup of tea"),
        ("  cup \t of\n tea ", "cup of tea"),
        ("animals/cat", "animals_cat"),
        ("猫", "猫"),
        (unicodedata.normalize("NFD", "Bär"), "Bär"),
        ("..", "_"),
        (".hidden", "_hidden"),
        ("a.", "a"),
        ("what?*", "what__"),
        ("\udc80", "_"),
        ("", "_"),
        ("é" * 100, "é" * 60),
    ],
)
def test_clean_names(label: str, name: str) -> None:
    assert clean_name(label) == name


@given(st.text(max_size=300))
def test_clean_names_are_names_of_files(label: str) -> None:
    name = clean_name(label)
    assert name
    assert clean_name(name) == name
    assert not set(name) & set('/\\:*?"<>|\n\r\0')
    assert not name.startswith(".")
    assert len(name.encode()) <= 120


def test_class_names() -> None:
    composed, apart = "Bär", unicodedata.normalize("NFD", "Bär")
    names = class_names_of(["class10", "class2", "a/b", "a_b", "a:b", composed, apart, "cat ", "cat"])
    assert (
        names
        == {
            "a_b": "a_b",
            "a/b": "a_b_2",
            "a:b": "a_b_3",
            composed: "Bär",
            apart: "Bär",
            "cat": "cat",
            "cat ": "cat",
            "class2": "class2",
            "class10": "class10",
        }
        | {}
    )
    assert list(dict.fromkeys(names.values())) == sorted(set(names.values()), key=natural_key)


@given(st.lists(NAMES, unique=True))
def test_class_names_stay_apart(labels: list[str]) -> None:
    names = class_names_of(labels)
    meant = {unicodedata.normalize("NFC", " ".join(label.split())) for label in labels}
    assert set(names) == set(labels)
    assert len(set(names.values())) == len(meant)
    assert class_names_of(reversed(labels)) == names


def test_ids_are_file_names_where_these_are_unique() -> None:
    paths = ["2004/cat/a b.jpg", "2004/dog/IMG_1.jpg", "2005/dog/img_1.JPG", "2005/dog/x.y.png"]
    ids = image_ids(paths)
    assert (ids[0], ids[3]) == ("a b", "x.y")
    assert ids[1].startswith("IMG_1-")
    assert ids[2].startswith("img_1-")
    assert image_ids(["0/new/IMG_1.jpg", *paths])[2] == ids[1]  # others do not change it


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), unique=True))
def test_ids_are_unique(paths: list[str]) -> None:
    ids = image_ids(paths)
    assert len({each.casefold() for each in ids}) == len(paths)
