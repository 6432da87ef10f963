"""What `--select` and `--select-on` take."""

import math

import numpy as np
import pytest

from clearctl.errors import UsageError
from clearctl.metrics import NUMBERS, compute_numbers
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.select.metric import NAMES, read_first, read_metric


@pytest.mark.parametrize("number", NAMES)
def test_every_number_of_a_matrix(number: str) -> None:
    matrix, untrained = np.array([[0.5, 0.25], [0.75, 1.0]]), np.array([0.1, 0.2])
    metric = read_metric(f"validation.{number}")
    assert metric.title == f"validation {NUMBERS[number].title}"
    known = compute_numbers(matrix, untrained, added=False)
    value = metric.value(RunOutcome("finished", matrix=matrix, numbers=known))
    assert value == compute_numbers(matrix, untrained)[number]
    assert math.isnan(metric.value(RunOutcome("failed")))
    metric.require_buckets(2)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("accuracy", "on validation images only: write validation.accuracy"),
        ("test.accuracy", "unknown number, expected validation.accuracy"),
        ("validation.acuracy", "unknown number, expected validation.accuracy"),
        ("validation.domain", "expected validation.in_domain, validation.next_domain or validation.final_domain"),
        ("validation.training_s", "unknown number"),
        ("validation.", "expected validation.in_domain, validation.next_domain, "),
        ("validation.zzz", "expected validation.in_domain, validation.next_domain, "),
        ("", "unknown number"),
    ],
)
def test_a_metric_that_no_run_has(text: str, fault: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_metric(text)
    assert str(caught.value).startswith(f"--select {text}: ")
    assert fault in str(caught.value)


def test_one_bucket_has_nothing_off_the_diagonal() -> None:
    read_metric("validation.accuracy").require_buckets(1)
    with pytest.raises(UsageError, match="--select validation.next_domain: 1 bucket has no such number: choose by"):
        read_metric("validation.next_domain").require_buckets(1)


def test_the_first_buckets() -> None:
    assert read_first("first:3") == 3
    for text in ("first", "first:", "first:0", "first:-1", "first:x", "last:3", "3", "first:3:4", "first:9999999"):
        with pytest.raises(UsageError, match=rf"^--select-on {text}: expected first:K, such as first:3"):
            read_first(text)
