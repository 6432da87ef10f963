"""A loss with buffers learns from the steps of training, and from nothing else that calls it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, Built, flat

from clearctl import train
from clearctl.engine.run import train as loop
from clearctl.layout import features_file, filelist_file
from clearctl.models.registry import LOSSES

pytest_plugins = ("blobs",)
ARGUMENTS = {
    "LabelSmoothLoss": dict(label_smooth_val=0.1, num_classes=CLASSES),
    "SeesawLoss": dict(num_classes=CLASSES),
}
# What calls the loss beside the steps of training: tests, importances, reference gradients, samples of a memory.
CALLERS: dict[str, dict[str, Any]] = {
    "tests after each epoch": dict(eval_every=1),
    "tests after each step": dict(eval_every=1, peval_mode="iteration"),
    "EWC": dict(plugins=[dict(type="EWCPlugin", ewc_lambda=1.0)]),
    "EWC by sample": dict(plugins=[dict(type="EWCPlugin", ewc_lambda=1.0, importance="sample")]),
    "MAS": dict(plugins=[dict(type="MASPlugin")]),
    "A-GEM": dict(plugins=[dict(type="AGEMPlugin", patterns_per_experience=6, sample_size=6)]),
    "GEM": dict(plugins=[dict(type="GEMPlugin", patterns_per_experience=6, memory_strength=0.5)]),
    "RAR": dict(plugins=[dict(type="RARPlugin", batch_size_mem=8)]),
    "RWalk": dict(plugins=[dict(type="RWalkPlugin", delta_t=2)]),
    "RestoreBestEpoch": dict(plugins=[dict(type="RestoreBestEpoch")]),
}


def loss(name: str) -> dict[str, Any]:
    return dict(type=name, **ARGUMENTS.get(name, {}))


class Twin(SupervisedPlugin):
    """A second loss, which is given the scores of the training steps and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.loss: Any = None

    def before_training(self, strategy: Any, **kwargs: Any) -> None:
        if self.loss is None:
            self.loss = copy.deepcopy(strategy._criterion).train()

    def after_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.loss(strategy.mb_output.detach(), strategy.mb_y)


def learned(build: Callable[..., Built], name: str, **strategy: Any) -> tuple[Built, Twin]:
    """An experiment after its three buckets, each followed by a test, as a run has them."""
    twin = Twin()
    built = build("naive", watching=(twin,), **({"plugins": [], "loss": loss(name)} | strategy))
    tested = list(built.experiment.benchmark.test_stream)
    for bucket in built.buckets:
        built.strategy.train(bucket, eval_streams=[tested])
        built.strategy.eval(tested)
    return built, twin


def buffers(module: torch.nn.Module) -> dict[str, list[float]]:
    return {name: value.tolist() for name, value in module.named_buffers()}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("name", LOSSES.classes)
def test_its_buffers_are_those_of_the_training_steps_alone(name: str, caller: str, build: Callable[..., Built]) -> None:
    if (name, caller) == ("SeesawLoss", "EWC by sample"):
        pytest.skip("refused: it counts a batch")
    built, twin = learned(build, name, **CALLERS[caller])
    assert buffers(built.strategy._criterion) == buffers(twin.loss)
    if name == "SeesawLoss":
        (counts,) = buffers(twin.loss).values()
        assert sum(counts) > 0


def test_the_steps_of_mer_are_its_inner_updates(build: Callable[..., Built]) -> None:
    """In each of 5, one by one, the 8 samples of a batch and, after the first bucket, 4 of the memory."""
    mer = dict(type="MER", mem_size=20, batch_size_mem=4, train_epochs=1, optimizer=dict(lr=0.1))
    found = [learned(build, "SeesawLoss", **mer, eval_every=every)[0].strategy._criterion for every in (-1, 1)]
    (counts,) = buffers(found[0]).values()
    assert sum(counts) == 5 * 3 * (8 + 2 * 12)
    assert buffers(found[0]) == buffers(found[1])


@pytest.mark.parametrize("name", LOSSES.classes)
def test_the_weights_do_not_depend_on_how_often_one_tests(name: str, build: Callable[..., Built]) -> None:
    weights = [flat(learned(build, name, eval_every=every)[0].strategy.model) for every in (-1, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def uneven(root: Path, sizes: list[list[int]]) -> Path:
    """A folder with features `held`, of so many samples of each class in each bucket."""
    (root / "training_folder").mkdir(parents=True)
    (root / "class_names.txt").write_text("\n".join(f"class {number}" for number in range(len(sizes[0]))))
    (root / "training_folder/bucket_indices.json").write_text(json.dumps([str(b) for b in range(len(sizes))]))
    generator = torch.Generator().manual_seed(0)
    for bucket, counts in enumerate(sizes):
        labels = [label for label, count in enumerate(counts) for _ in range(count)]
        x = torch.randn(len(labels), 16, generator=generator)
        lines = [f"x/{bucket}/{line}.jpg {label}" for line, label in enumerate(labels)]
        train_lines = [line for line in range(len(lines)) if line % 3]
        features = features_file(root, "held", str(bucket))
        features.parent.mkdir(parents=True)
        torch.save((x, labels), features)
        listed = filelist_file(root, str(bucket))
        listed.parent.mkdir(parents=True)
        listed.write_text("\n".join(lines))
        split = root / f"training_folder/testset_ratio_0.3/split_0/{bucket}"
        split.mkdir(parents=True)
        for part, chosen in (("train", train_lines), ("test", [n for n in range(len(lines)) if n not in train_lines])):
            (split / f"{part}.txt").write_text("\n".join(lines[n] for n in chosen))
            (split / f"{part}_indices.json").write_text(json.dumps(chosen))
    return root


@pytest.mark.parametrize("protocol", ["streaming", "iid"])
def test_seesaw_counts_the_samples_that_are_learned(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = uneven(tmp_path / "uneven", [[30, 20, 10, 5, 3], [7, 9, 4, 20, 11], [3, 3, 17, 2, 40]])
    file = tmp_path / "config.py"
    scenario = dict(dataset_root=str(root), evaluation_protocol=protocol, seed=0, feature_type="held")
    strategy = dict(
        type="Naive",
        train_mb_size=16,
        eval_mb_size=7,
        train_epochs=2,
        optimizer=dict(type="SGD", lr=0.1),
        loss=dict(type="SeesawLoss", num_classes=5),
    )
    model = dict(head=dict(type="LinearClsHead", num_classes=5, in_channels=16))
    file.write_text(f"scenario = {scenario!r}\nmodel = {model!r}\ncl_strategy = {strategy!r}\n")
    opened = []
    plain = loop.open_run

    def open_run(*arguments: Any, **named: Any) -> Any:
        opened.append(plain(*arguments, **named))
        return opened[-1]

    monkeypatch.setattr(loop, "open_run", open_run)
    train(file, device="cpu", work_dir=tmp_path / "runs")
    (experiment,) = opened
    expected = torch.zeros(5)
    for experience in experiment.benchmark.train_stream:
        expected += 2 * torch.bincount(torch.tensor(list(experience.dataset.targets)), minlength=5)
    assert experiment.strategy._criterion.loss.cum_samples.tolist() == expected.tolist()
    if protocol == "streaming":
        assert expected.tolist() == [80, 64, 62, 54, 108]
