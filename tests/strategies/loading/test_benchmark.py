"""The benchmark of a stream: what it holds is tested with the loaders; here its task labels."""

import pytest
from test_gather import stream

from clearctl.strategies.loading.benchmark import build_benchmark


@pytest.mark.parametrize(
    ("given", "labels"),
    [({}, [0, 0, 0]), ({"task_labels": "single"}, [0, 0, 0]), ({"task_labels": "bucket"}, [0, 1, 2])],
)
def test_task_labels_of_experiences_and_samples(given: dict[str, str], labels: list[int]) -> None:
    benchmark = build_benchmark(stream([4, 3, 5]), None, None, **given)
    for experiences in (benchmark.train_stream, benchmark.test_stream):
        assert [experience.task_labels for experience in experiences] == [[label] for label in labels]
        for experience, label in zip(experiences, labels, strict=True):
            assert list(experience.dataset.targets_task_labels) == [label] * len(experience.dataset)
            assert {sample[2] for sample in experience.dataset} == {label}
