"""Counts, lists and errors in messages."""

from clearctl.wording import all_of, any_of, counted, dataset_size, few, first_line, in_one_line, plural


def test_counts() -> None:
    assert [counted(number, "run") for number in (0, 1, 2, 1200)] == ["0 runs", "1 run", "2 runs", "1,200 runs"]
    assert f"{plural('seed', 1)} 3" == "seed 3"
    nouns = ["2 classes", "2 batches", "2 boxes", "2 epochs"]
    assert [counted(2, noun) for noun in ("class", "batch", "box", "epoch")] == nouns
    assert dataset_size(1957, 11, 10) == "1,957 images of 11 classes in 10 buckets"
    assert dataset_size(1, 1, 1) == "1 image of 1 class in 1 bucket"


def test_lists() -> None:
    assert [any_of(list(names)) for names in ("a", "ab", "abc")] == ["a", "a or b", "a, b or c"]
    assert all_of(["a", "b", "c"]) == "a, b and c"
    assert [few(list(names)) for names in ("abc", "abcde")] == ["a, b, c", "a, b, c and 2 more"]


def test_the_first_line_of_an_error() -> None:
    assert first_line(ValueError("\nno such thing\nat all")) == "no such thing"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(EOFError(), "it is empty") == "it is empty"


def test_an_error_in_one_line() -> None:
    assert in_one_line(RuntimeError("shapes differ:\n   [2] and [3]")) == "shapes differ: [2] and [3]"
    assert in_one_line(KeyError("no such class")) == "no such class"
    assert in_one_line(RuntimeError()) == "RuntimeError"
