"""The stream of buckets that a config describes, and the benchmark made of it."""

from clearctl import layout
from clearctl.config.settings import ScenarioSettings
from clearctl.data.stream import Stream, read_stream
from clearctl.engine.build.samples import BuiltSamples
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.strategy import Benchmark


def build_stream(scenario: ScenarioSettings, listener: Listener = ignore) -> Stream:
    """Read the stream that the scenario describes. Raises DatasetError."""
    root = scenario.dataset_root
    if scenario.evaluation_protocol == "iid" and not scenario.shot and layout.has_published_split(root):
        listener(
            Message("train and test are the release's own split: scenario.seed and scenario.test_ratio play no part")
        )
    if scenario.evaluate_on == "validation":
        listener(
            Message("tests are on images held out of the training part (scenario.validation): no test image is read")
        )
    elif scenario.has_validation and scenario.evaluation_protocol == "streaming":
        text = "what scenario.validation holds out is not tested on either: the test parts are smaller than others' are"
        listener(Message(text))
    return read_stream(
        root,
        protocol=scenario.evaluation_protocol,
        seed=scenario.seed,
        shot=scenario.shot,
        test_ratio=scenario.test_ratio,
        feature_type=scenario.feature_type,
        buckets=scenario.buckets,
        selection=scenario.selection,
        evaluate_on=scenario.evaluate_on,
        left_out=scenario.left_out,
    )


def benchmark_of(scenario: ScenarioSettings, samples: BuiltSamples) -> Benchmark:
    """The benchmark of `samples`, with the task labels that the scenario asks for."""
    held_out = None
    if scenario.has_validation:
        held_out = "test" if scenario.evaluate_on == "validation" else "validation"
    return build_benchmark(
        samples.stream, samples.train_transform, samples.eval_transform, scenario.task_labels, held_out
    )
