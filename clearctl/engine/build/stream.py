"""The stream of buckets that a config describes, and the benchmark made of it."""

from pathlib import Path

from clearctl import layout
from clearctl.config.load import Config
from clearctl.data.stream import Stream, read_stream
from clearctl.engine.build.samples import BuiltSamples
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.strategy import Benchmark


def build_stream(config: Config, listener: Listener = ignore) -> Stream:
    """Read the stream that the scenario describes. Raises DatasetError."""
    scenario = config.values["scenario"]
    root = Path(scenario["dataset_root"])
    if scenario.get("evaluation_protocol") == "iid" and not scenario.get("shot") and layout.has_published_split(root):
        listener(
            Message("train and test are the release's own split: scenario.seed and scenario.test_ratio play no part")
        )
    return read_stream(
        root,
        protocol=scenario.get("evaluation_protocol", "streaming"),
        seed=scenario.get("seed"),
        shot=scenario.get("shot"),
        test_ratio=scenario.get("test_ratio", 0.3),
        feature_type=scenario.get("feature_type"),
        buckets=scenario.get("buckets"),
    )


def benchmark_of(config: Config, samples: BuiltSamples) -> Benchmark:
    """The benchmark of `samples`, with the task labels that the scenario asks for."""
    task_labels = config.values["scenario"].get("task_labels", "single")
    return build_benchmark(samples.stream, samples.train_transform, samples.eval_transform, task_labels)
