"""The stream of buckets of a config, and the benchmark built from it."""

import torch

from clearctl import layout
from clearctl.config.settings import DataSettings, ScenarioSettings
from clearctl.data.cache.memory import available_bytes
from clearctl.data.stream import Stream, read_stream
from clearctl.distributed import world
from clearctl.engine.build.samples import BuiltSamples
from clearctl.engine.gpu import free_bytes
from clearctl.progress import Listener, Message, ignore
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.strategy import Benchmark

# Of what a run holds beside the features, measured as its peak above its imports (docs/performance.md).
_RUN_OF_FEATURES = 1.1
_CPU = torch.device("cpu")


def build_stream(
    scenario: ScenarioSettings, data: DataSettings, listener: Listener = ignore, device: torch.device = _CPU
) -> Stream:
    """Read the stream that the scenario describes, its features as in `data.loader`.

    `auto` leaves them in their files, mapped, if they do not fit in memory, or not on the GPU of the run.
    Raises DatasetError.
    """
    root = scenario.dataset_root
    if scenario.evaluation_protocol == "iid" and not scenario.shot and layout.has_published_split(root):
        listener(
            Message("train and test are the release's own split: scenario.seed and scenario.test_ratio have no effect")
        )
    if scenario.evaluate_on == "validation":
        listener(
            Message("testing on images held out of the training part (scenario.validation): no test image is read")
        )
    elif scenario.has_validation and scenario.evaluation_protocol == "streaming":
        text = "images held out by scenario.validation are not tested on either: the test parts are smaller than usual"
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
        room_bytes=_room_bytes(data, device),
    )


def _room_bytes(data: DataSettings, device: torch.device) -> int | None:
    """The most bytes that features may take to be read into memory; None for any."""
    if data.loader != "auto":
        return 0 if data.loader == "mapped" else None
    room = available_bytes() // world.local_size()  # each process of this machine reads them
    if device.type == "cuda":
        room = min(room, free_bytes(device))
    return int(room / _RUN_OF_FEATURES)


def benchmark_of(scenario: ScenarioSettings, samples: BuiltSamples) -> Benchmark:
    """The benchmark of `samples`, with the task labels that the scenario asks for."""
    held_out = None
    if scenario.has_validation:
        held_out = "test" if scenario.evaluate_on == "validation" else "validation"
    return build_benchmark(
        samples.stream, samples.train_transform, samples.eval_transform, scenario.task_labels, held_out
    )
