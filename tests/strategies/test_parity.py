"""A run ends as plain Avalanche on CLEAR with the same task labels: weights, names and values of metrics, exactly.

plain_clear.py is the other side, in a process of its own: Avalanche's loaders and evaluator, none of clearctl's.
"""

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from plain_clear import ALPHA, CLASSES, DIM, FEATURES, LABELLINGS, LR, MEMORY, METRICS, SEED, SIZES, STRATEGIES

from clearctl import prepare_avalanche, rundir, train
from clearctl.layout import features_file, filelist_file, read_filelist

BUCKETS = ("1", "2", "3", "4")
# No bucket is as large as another, no batch divides one, and the first lacks a class.
IMAGES = {
    (bucket, name): 0 if (bucket, name) == ("1", "c") else 5 + 3 * number + 2 * place
    for place, bucket in enumerate(BUCKETS)
    for number, name in enumerate("abc")
}
SECTIONS: dict[str, dict[str, Any]] = {
    "Replay": dict(mem_size=MEMORY),
    "Replay, balanced": dict(type="Replay", mem_size=MEMORY, task_balanced_dataloader=True),
    "GDumb": dict(reset=False, buffer=dict(type="ReservoirSamplingBuffer", max_size=MEMORY)),
    "LwF": dict(alpha=ALPHA, temperature=2.0),
}
# What no label can change: no loader of theirs takes samples by label.
ALIKE = ("Naive", "Replay")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared folder whose classes overlap and drift, as features under a name that Avalanche knows."""
    from conftest import make_clear_folder

    folder = make_clear_folder(tmp_path_factory.mktemp("clear"), BUCKETS, ("a", "b", "c"), IMAGES)
    prepare_avalanche(folder)
    generator = torch.Generator().manual_seed(0)
    for number, bucket in enumerate(BUCKETS):
        labels = [label for _, label in read_filelist(filelist_file(folder, bucket))]
        x = torch.nn.functional.one_hot(torch.tensor(labels), DIM) + torch.randn(len(labels), DIM, generator=generator)
        x[:, 3] += 0.5 * number
        file = features_file(folder, FEATURES, bucket)
        file.parent.mkdir(parents=True)
        torch.save((x, labels), file)
    return folder


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """{labelling: {strategy: what plain Avalanche left, "labels": those of its experiences}}."""
    file = tmp_path_factory.mktemp("plain") / "found.pth"
    script = Path(__file__).with_name("plain_clear.py")
    ended = subprocess.run([sys.executable, script, root, file], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = torch.load(file, weights_only=True)
    return found


@pytest.fixture(scope="module")
def ours(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """`ours(strategy, labelling)`: the folder of a finished run of clearctl."""
    folder = tmp_path_factory.mktemp("ours")

    @cache
    def run(name: str, labelling: str) -> Path:
        values = dict(
            scenario=dict(dataset_root=str(root), feature_type=FEATURES, task_labels=labelling),
            model=dict(torchmodel=dict(type="Linear", in_features=DIM, out_features=CLASSES)),
            cl_strategy={"type": name, "optimizer": dict(type="SGD", lr=LR), **SIZES, **SECTIONS.get(name, {})},
            metrics=METRICS,
            seed=SEED,
            work_dir=str(folder / name / labelling),
        )
        config = folder / "config.py"
        config.write_text("\n".join(f"{key} = {value!r}" for key, value in values.items()))
        return train(config, device="cpu").run

    return run


def weights(run: Path) -> list[dict[str, torch.Tensor]]:
    return [torch.load(file, weights_only=True) for file in rundir.checkpoints(run).values()]


def same(some: list[dict[str, torch.Tensor]], others: list[dict[str, torch.Tensor]]) -> bool:
    """Whether all weights are equal, bit by bit; their names may differ."""
    pairs = [
        pair for one, other in zip(some, others, strict=True) for pair in zip(one.items(), other.items(), strict=True)
    ]
    assert all(mine.endswith(plain) for (mine, _), (plain, _) in pairs)
    return all(torch.equal(a, b) for (_, a), (_, b) in pairs)


def test_the_other_side_has_the_labels_of_clear(plain: dict[str, Any]) -> None:
    assert plain["bucket"]["labels"] == [[0], [1], [2], [3]]
    assert plain["single"]["labels"] == [[0]] * 4


@pytest.mark.parametrize("labelling", LABELLINGS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_and_metrics_are_plain_avalanches(
    name: str, labelling: str, plain: dict[str, Any], ours: Callable[[str, str], Path]
) -> None:
    expected, run = plain[labelling][name], ours(name, labelling)
    found, evaluation = weights(run), rundir.read_eval(run)
    times = len(BUCKETS) // len(expected["weights"])  # joint training learns once, and has that model in each row
    assert same(found, expected["weights"] * times)
    for phase, other in (("train", "eval_phase"), ("test", "train_phase")):
        for number, values in enumerate(expected[phase] * times):
            of_phase = {key: value for key, value in values.items() if other not in key}
            assert evaluation[phase][str(number)] == of_phase, (phase, number)
            assert len(of_phase) >= 5


def test_metrics_are_named_by_the_label(ours: Callable[[str, str], Path]) -> None:
    names = {labelling: rundir.read_eval(ours("Naive", labelling)) for labelling in LABELLINGS}
    for labelling, label in (("single", 0), ("bucket", 2)):
        assert f"Top1_Acc_Exp/eval_phase/test_stream/Task{label:03}/Exp002" in names[labelling]["test"]["0"]
        assert f"Top1_Acc_Epoch/train_phase/train_stream/Task{label:03}" in names[labelling]["train"]["2"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_where_loaders_take_samples_by_label_the_weights_depend_on_it(
    name: str, ours: Callable[[str, str], Path]
) -> None:
    assert same(*(weights(ours(name, labelling)) for labelling in LABELLINGS)) == (name in ALIKE)
