"""Batches gathered from resident features are those of Avalanche's own loaders, for every strategy, bit for bit."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.benchmarks.utils import make_avalanche_dataset
from avalanche.benchmarks.utils.data_attribute import DataAttribute
from avalanche.benchmarks.utils.data_loader import (
    GroupBalancedInfiniteDataLoader,
    MultiDatasetDataLoader,
    ReplayDataLoader,
    SingleDatasetDataLoader,
    TaskBalancedDataLoader,
)
from avalanche.training import supervised
from avalanche.training.plugins import AGEMPlugin, EvaluationPlugin, RARPlugin
from avalanche.training.supervised.feature_replay import FeatureDataset
from blobs import BUCKETS, DIM, PER_BUCKET
from hypothesis import given, settings
from hypothesis import strategies as st
from small import OTHERS, SMALL, strategy_of
from torch.utils.data import DataLoader, default_collate

from clearctl import rundir, train
from clearctl.data.samples import FeatureSamples, ImageSamples
from clearctl.data.stream import Bucket, Stream
from clearctl.engine.run.train import TrainResult
from clearctl.progress import Event, Message
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loading.fetching import GatheredSamples
from clearctl.strategies.loading.gather import GatherBatches, GatheringLoader, collated, gathering
from clearctl.strategies.loading.resumable import KnownPosition
from clearctl.strategies.loading.rows import resolve
from clearctl.strategies.methods.agem import AGEMPlugin as OurAGEMPlugin
from clearctl.strategies.patches import applied
from clearctl.strategies.recipes import RECIPES
from clearctl.strategies.registry import PLUGINS, STRATEGIES

pytest_plugins = ("blobs",)

# Those that draw from a memory without end, and one that learns with a memory beside each batch.
DRAWING = ("agem", "der", "er_ace", "MIR", "FeatureReplay", "RAR", "replay")
# Those whose batches have samples of each task label, or that carry the labels along.
LABELLED = (
    "cumulative",
    "reservoir",
    "gdumb",
    "joint_training",
    "icarl",
    "balanced replay",
    "agem",
    "der",
    "bic",
)
CPU = torch.device("cpu")


@pytest.fixture
def plain_avalanche(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the next run be of Avalanche's own classes, datasets and loaders, so that a reference knows no others."""

    def remove() -> None:
        for name in ("DER", "ER_ACE"):
            monkeypatch.setitem(STRATEGIES.classes, name, getattr(supervised, name))
        for name in ("MIR", "FeatureReplay"):
            recipe = replace(RECIPES[name], strategy=getattr(supervised, name))
            monkeypatch.setitem(STRATEGIES.classes, name, recipe)
        monkeypatch.setitem(PLUGINS.classes, "RARPlugin", RARPlugin)
        monkeypatch.setattr(
            "clearctl.strategies.recipes.AGEMPlugin",
            lambda size, *others: OurAGEMPlugin(size, *others) if True in others else AGEMPlugin(size, others[0]),
        )
        monkeypatch.setattr(KnownPosition, "before_training_epoch", lambda self, strategy, **kwargs: None)
        monkeypatch.setattr("clearctl.strategies.patches._apply", lambda: None)

    return remove


Learned = tuple[list[list[float]], list[dict[str, torch.Tensor]]]


def learned(result: TrainResult) -> Learned:
    """The accuracies of a run, and its weights after each bucket."""
    files = [rundir.checkpoint_file(result.run, bucket) for bucket in range(1, BUCKETS + 1)]
    return result.matrix.tolist(), [torch.load(file) for file in files]


@pytest.fixture(scope="module")
def plain_runs() -> dict[tuple[str, str], Learned]:
    """{(strategy, task labels): what plain Avalanche learns}, once for all loaders of ours."""
    return {}


def test_what_is_listed_here_is_tried() -> None:
    assert {*DRAWING, *LABELLED} <= {*SMALL, *OTHERS}


@pytest.mark.parametrize(
    ("name", "loader", "labels"),
    [
        *((name, "resident", "single") for name in (*SMALL, *OTHERS)),
        *((name, "workers", "single") for name in DRAWING),
        *((name, "resident", "bucket") for name in LABELLED),
        *((name, "workers", "bucket") for name in LABELLED[:2]),
        *((name, "mapped", "single") for name in (*DRAWING, "cumulative", "ewc", "gem", "ridge", "bic")),
    ],
)
def test_weights_and_matrix_are_those_of_avalanches_own_loop(
    name: str,
    loader: str,
    labels: str,
    write_config: Callable[..., Path],
    plain_avalanche: Callable[[], None],
    plain_runs: dict[tuple[str, str], Learned],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base, arguments = strategy_of(name)
    config = write_config(base, **{"train_mb_size": 7, "eval_mb_size": 10, **arguments})  # with odd last batches
    scenario = ["scenario.buckets=['2','0','1']", f"scenario.task_labels={labels!r}"]
    if (name, labels) not in plain_runs:
        plain_avalanche()
        for name_of_ours in ("skip_idle_callbacks", "skip_idle_steps", "skip_zeros"):
            monkeypatch.setattr(f"clearctl.strategies.build.{name_of_ours}", lambda strategy: None)
        monkeypatch.setattr(
            "clearctl.strategies.build.Evaluator",
            lambda record, metrics, loggers, of_validation: EvaluationPlugin(*metrics, loggers=loggers),
        )
        monkeypatch.setattr(EvaluationPlugin, "flush", lambda self: None, raising=False)
        plain_runs[name, labels] = learned(train(config, device="cpu", overrides=["data.loader=workers", *scenario]))
        monkeypatch.undo()

    fetched: list[int] = []
    for kind in (FeatureSamples, FeatureDataset):
        fetch = kind.__getitem__
        counted = lambda self, i, fetch=fetch: (fetched.append(i), fetch(self, i))[1]  # noqa: E731
        monkeypatch.setattr(kind, "__getitem__", counted)
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Message):
            said.append(event.text)

    if loader == "workers":  # but none of them: as images are read that are not stored
        monkeypatch.setattr("clearctl.strategies.loading.gather.resolve", lambda dataset: None)
    gathered = train(config, device="cpu", overrides=[f"data.loader={loader}", *scenario], listener=listen)
    (matrix, weights), (plain_matrix, plain_weights) = learned(gathered), plain_runs[name, labels]
    assert matrix == plain_matrix
    for bucket, (ours, theirs) in enumerate(zip(weights, plain_weights, strict=True)):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert theirs[key].isfinite().all()
            assert torch.equal(ours[key], theirs[key]), (bucket, key)
    assert [text for text in said if "sample by sample" in text] == []
    if loader != "workers":
        assert len(fetched) <= 2  # the probes of whether the model fits


def stream(sizes: list[int], dim: int = DIM) -> Stream:
    """A stream of random features, its buckets as large as given, tested on what they are trained on."""
    x = torch.randn(sum(sizes), dim, generator=torch.Generator().manual_seed(1))
    y = torch.arange(len(x)) % 3
    rows = torch.arange(len(x)).split(sizes)
    buckets = (Bucket(str(n), FeatureSamples(x, y, r), FeatureSamples(x, y, r)) for n, r in enumerate(rows))
    return Stream(tuple(buckets), ("a", "b", "c"), dim)


def datasets(sizes: list[int]) -> list[Any]:
    return [experience.dataset for experience in build_benchmark(stream(sizes), None, None).train_stream]


def batches(loader: Any, limit: int = 100) -> tuple[list[list[torch.Tensor]], torch.Tensor]:
    """The first batches, with noise drawn in between as dropout does, and the state of the generator after them."""
    torch.manual_seed(3)
    taken = []
    for batch in loader:
        taken.append([part.clone() for part in batch])
        torch.rand(1)
        if len(taken) == limit:
            break
    return taken, torch.get_rng_state()


def assert_same(ours: Any, theirs: Any, limit: int = 100) -> None:
    assert isinstance(ours, GatheringLoader)
    assert len(ours) == len(theirs)
    for _ in range(2):
        (found, state), (expected, expected_state) = batches(ours, limit), batches(theirs, limit)
        assert len(found) == len(expected)
        for left, right in zip(found, expected, strict=True):
            assert [part.dtype for part in left] == [part.dtype for part in right]
            assert all(torch.equal(a, b) for a, b in zip(left, right, strict=True))
        assert torch.equal(state, expected_state)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(1, 20),
    batch=st.integers(1, 8),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    single=st.booleans(),
)
def test_one_dataset_in_the_same_order(size: int, batch: int, shuffle: bool, drop_last: bool, single: bool) -> None:
    [dataset] = datasets([size])
    kind = SingleDatasetDataLoader if single else TaskBalancedDataLoader
    loader = kind(dataset, batch_size=batch, shuffle=shuffle, drop_last=drop_last)
    assert_same(gathering(loader, CPU), loader)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    batch=st.integers(1, 5),
    oversample=st.booleans(),
    longest=st.booleans(),
    drop_last=st.booleans(),
)
def test_several_datasets_side_by_side(
    sizes: list[int], batch: int, oversample: bool, longest: bool, drop_last: bool
) -> None:
    loader = MultiDatasetDataLoader(
        datasets(sizes),
        [batch + n % 2 for n in range(len(sizes))],
        termination_dataset=-1 if longest else 0,
        oversample_small_datasets=oversample,
        shuffle=True,
        drop_last=drop_last,
    )
    assert_same(gathering(loader, CPU), loader)


def test_replay_and_endless_loaders() -> None:
    new, old, older = datasets([20, 7, 5])
    replay = ReplayDataLoader(
        new, old.concat(older), oversample_small_tasks=True, batch_size=6, batch_size_mem=4, shuffle=True
    )
    assert_same(gathering(replay, CPU), replay)
    endless = GroupBalancedInfiniteDataLoader([new, old, older], batch_size=4, shuffle=True)
    assert_same(gathering(endless, CPU), endless, limit=12)


def test_a_tree_of_subsets_and_concatenations() -> None:
    first, second, third = datasets([9, 8, 7])
    generator = random.Random(0)
    tree = first.subset([8, 0, 3, 3]).concat(second).train().concat(third.subset(range(2, 6)).eval())
    for _ in range(3):
        tree = tree.subset(generator.sample(range(len(tree)), len(tree) - 1)).concat(first.subset([1, 2]))
    tree = tree.freeze_transforms()
    found = resolve(tree)
    assert found is not None
    for ours, theirs in zip(collated(tree, range(len(tree))), next(iter(DataLoader(tree, len(tree)))), strict=True):
        assert torch.equal(ours, theirs)
    samples = [tree[index] for index in range(len(tree))]
    assert torch.equal(found.source[found.rows], torch.stack([sample[0] for sample in samples]))
    assert found.y.tolist() == [sample[1] for sample in samples]


def test_stored_scores_come_with_their_samples() -> None:
    [dataset] = datasets([6])
    scores = [torch.full((3,), float(number)) for number in range(6)]
    stored = make_avalanche_dataset(dataset, data_attributes=[DataAttribute(scores, "logits", use_in_getitem=True)])
    found = resolve(stored.subset([4, 1]))
    assert found is not None
    assert [extra[:, 0].tolist() if extra.ndim > 1 else extra.tolist() for extra in found.extras] == [[0, 0], [4, 1]]


def test_what_is_not_only_features_is_left_alone(tmp_path: Path) -> None:
    images = ImageSamples(tmp_path, "0", [("a.jpg", 0)])
    [of_images] = build_benchmark(Stream((Bucket("0", images, images),), ("a",)), None, None).train_stream
    [transformed] = build_benchmark(stream([4]), lambda x: x + 1, None).train_stream
    [one], [other] = datasets([4]), datasets([4])
    for dataset in (of_images.dataset, transformed.dataset, one.concat(other), one.subset([]), [1, 2]):
        assert resolve(dataset) is None
    assert resolve(transformed.dataset.eval()) is not None
    loader = SingleDatasetDataLoader(transformed.dataset, batch_size=2)
    assert gathering(loader, CPU) is loader
    assert gathering([1], CPU) == [1]
    weighted = SingleDatasetDataLoader(one, batch_size=2, timeout=3)
    assert gathering(weighted, CPU) is weighted  # an argument whose meaning is not known here


def test_a_loader_that_stays_is_reported_once() -> None:
    class Strategy:
        plugins = ()
        dataloader: Any = [1]
        device = CPU

    said: list[str] = []
    plugin, strategy_ = GatherBatches(said.append), Strategy()
    for _ in range(2):
        plugin.before_training_epoch(strategy_)
        plugin.before_eval_exp(strategy_)
    assert strategy_.dataloader == [1]
    assert said == ["Strategy loads sample by sample: the list it made has samples of more than one source"]


@pytest.mark.parametrize("dim", [16, 5])  # rows that start at multiples of 64 bytes, and rows that do not
def test_tested_batches_are_views_where_that_is_safe(dim: int) -> None:
    [_, dataset] = [e.dataset for e in build_benchmark(stream([8, 40], dim), None, None).train_stream]
    loader = gathering(SingleDatasetDataLoader(dataset, batch_size=16), CPU)
    matrix = loader.source
    shared = [x.untyped_storage().data_ptr() == matrix.untyped_storage().data_ptr() for x, *_ in loader]
    assert shared == ([False, True, True] if dim == 16 else [False, False, False])


def test_a_network_that_writes_into_its_input_does_not_reach_the_features() -> None:
    [dataset] = [e.dataset for e in build_benchmark(stream([64], 16), None, None).train_stream]
    loader = gathering(SingleDatasetDataLoader(dataset, batch_size=16), CPU)
    before = loader.source.clone()
    seen = []
    for _ in range(2):
        for x, *_ in loader:
            seen.append(x.relu_().clone())
    assert torch.equal(loader.source, before)
    assert torch.equal(torch.cat(seen[:4]), before.relu())


def test_plugins_loaders_gather_and_fall_back() -> None:
    [dataset] = datasets([6])
    [transformed] = build_benchmark(stream([6]), lambda x: x + 1, None).train_stream
    expected = torch.stack([dataset[index][0] for index in (5, 2)])
    x, y, task = collated(dataset, [5, 2])
    assert torch.equal(x, expected)
    assert (y.tolist(), task.tolist()) == ([2, 2], [0, 0])
    assert torch.equal(collated(transformed.dataset, [5, 2])[0], expected + 1)
    with applied():
        [batch] = DataLoader(transformed.dataset.eval(), batch_size=6)
        [added] = DataLoader(transformed.dataset, batch_size=6)
    assert torch.equal(batch[0], torch.stack([dataset[index][0] for index in range(6)]))
    assert torch.equal(added[0], batch[0] + 1)


def test_a_loader_with_another_collate_function_gets_samples() -> None:
    [dataset] = datasets([6])
    taken: list[Any] = []

    def collate(samples: Any) -> Any:
        taken.append(samples)
        x, y, task = zip(*samples, strict=True)
        first, *rest = samples[:3]
        assert [type(part) for part in first] == [torch.Tensor, int, int]
        assert torch.equal(samples[-1][0], x[-1])
        assert [len(samples[0]), len(samples), len(rest)] == [3, len(y), min(2, len(y) - 1)]
        return default_collate(samples), default_collate([samples[0], samples[-1]]), y

    with applied():
        [(whole, ends, labels), (last, _, _)] = DataLoader(dataset, batch_size=5, collate_fn=collate)
    assert [type(samples) for samples in taken] == [GatheredSamples] * 2
    expected = torch.stack([dataset[index][0] for index in range(6)])
    assert torch.equal(torch.cat([whole[0], last[0]]), expected)
    assert torch.equal(ends[0], expected[[0, 4]])
    assert (whole[1].tolist(), ends[1].tolist()) == (list(labels), [labels[0], labels[4]])


def test_a_dataset_cut_again_is_resolved_again() -> None:
    [dataset] = datasets([6])
    assert collated(dataset, [0])[1].tolist() == [0]
    turned = dataset.subset([5, 4, 3, 2, 1, 0]).eval()
    assert collated(turned, [0, 1])[1].tolist() == [2, 1]


def test_the_matrix_is_read_once_and_shared(features_root: Path) -> None:
    from clearctl.data.stream import read_stream

    found = read_stream(features_root, feature_type="blobs")
    parts = [part for bucket in found.buckets for part in (bucket.train, bucket.test)]
    assert len({part.x.untyped_storage().data_ptr() for part in parts}) == 1
    assert parts[0].x.shape == (BUCKETS * PER_BUCKET, DIM)
    moved = found.to(torch.device("cpu"))
    assert moved.buckets[0].train.x is moved.buckets[-1].test.x
    assert moved.fingerprint() == found.fingerprint()


def test_a_batch_that_someone_keeps_is_not_written_over() -> None:
    [dataset] = [e.dataset for e in build_benchmark(stream([600], 2048), None, None).train_stream]
    loader = gathering(SingleDatasetDataLoader(dataset, batch_size=200, shuffle=True), CPU)  # 1.6 MB a batch
    kept, copies = [], []
    for _ in range(3):
        for x, *_ in loader:
            kept.append(x[1:])
            copies.append(x[1:].clone())
    assert all(torch.equal(x, copy) for x, copy in zip(kept, copies, strict=True))
