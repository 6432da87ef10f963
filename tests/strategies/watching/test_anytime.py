"""Anytime accuracy: a test every so many steps that changes nothing, its curve, and which strategies have one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import KILLED, run_process
from runs import contents, require_same, straight

from clearctl import rundir, train
from clearctl.config.check import check
from clearctl.config.load import Config
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import ConfigError
from clearctl.metrics import NUMBERS
from clearctl.report.groups import group_runs
from clearctl.report.report import FORMATS, TERMINAL, render
from clearctl.report.runs import find_runs, read_run

pytest_plugins = ("blobs",)
EVERY = 4
ONLINE = (f"cl_strategy.eval_every_steps={EVERY}", "cl_strategy.train_epochs=1")
BATCH = 10  # samples, of the 24 of a bucket: 3 steps, the last of 4 samples


def points(run: Path) -> list[dict[str, Any]]:
    return json.loads(rundir.eval_file(run).read_text())["anytime"]


@pytest.fixture
def config(write_config: Callable[..., Path]) -> Callable[..., Path]:
    """`config(base)`: of 3 buckets of 24 training samples, in steps of 10."""

    def make(base: str = "naive", **values: Any) -> Path:
        return write_config(base, train_mb_size=BATCH, eval_mb_size=16, train_epochs=1, **values)

    return make


def trained(config: Path, work_dir: Path, *overrides: str) -> Path:
    return train(config, device="cpu", work_dir=work_dir, overrides=overrides).run


@pytest.mark.parametrize("base", ["naive", "replay"])
def test_the_curve_and_its_area(base: str, config: Callable[..., Path], tmp_path: Path) -> None:
    """9 steps: tests after the 4th and the 8th, in the second and the third bucket."""
    run = trained(config(base), tmp_path, *ONLINE)
    curve = points(run)
    assert [(point["bucket"], point["step"], point["samples_seen"]) for point in curve] == [(1, 4, 34), (2, 8, 68)]
    means = [np.mean(point["accuracies"][: point["bucket"] + 1]) for point in curve]
    area = (34 * means[0] + 34 * means[1]) / 68
    assert rundir.read_eval(run)["other_metrics"] == {"anytime_accuracy": pytest.approx(area)}
    lines = [line for line in rundir.read_metrics(run) if line["event"] == "anytime"]
    assert [line["accuracy"] for line in lines] == pytest.approx(means)
    assert [list(line["accuracies"].values()) for line in lines] == [point["accuracies"] for point in curve]
    assert [line["bucket"] for line in lines] == ["1", "2"]


def test_each_point_is_the_accuracy_of_the_weights_of_its_step(config: Callable[..., Path], tmp_path: Path) -> None:
    """A test after the last step of every bucket is the row of the matrix."""
    run = trained(config(), tmp_path, *ONLINE, "cl_strategy.eval_every_steps=3")
    matrix, _ = rundir.read_matrix(run)
    assert [point["accuracies"] for point in points(run)] == matrix.tolist()
    assert [point["samples_seen"] for point in points(run)] == [24, 48, 72]


def test_nothing_else_changes(config: Callable[..., Path], tmp_path: Path) -> None:
    """Weights, matrix, and what is recorded of epochs and tests."""
    dropout = dict(type="StackedLinearClsHead", num_classes=3, in_channels=8, mid_channels=[8], dropout_rate=0.5)
    file = config("er_ace", mem_size=13, batch_size_mem=5, model=dict(head=dropout))
    plain, tested = (contents(trained(file, tmp_path, *overrides)) for overrides in ((), ONLINE[:1]))
    assert tested.pop("metrics.jsonl") != plain.pop("metrics.jsonl")
    for found in (plain, tested):
        del found["eval.json"]
    assert tested == plain


@pytest.mark.parametrize("at", [("step", 1, 0, 1), ("step", 1, 0, 2), ("test", 1, 0, 2), ("after training", 1)])
def test_killed_and_resumed_the_curve_is_the_same(
    at: tuple[Any, ...], config: Callable[..., Path], tmp_path: Path
) -> None:
    overrides = [
        "cl_strategy.eval_every_steps=2",
        "metrics=[{'type': 'accuracy_metrics', 'epoch': True, 'experience': True, 'stream': True}]",
        "loggers=[{'type': 'TextLogger'}, {'type': 'CSVLogger'}]",
    ]
    whole = straight(config("replay"), tmp_path / "straight", overrides=overrides)
    arguments = {"device": "cpu", "work_dir": tmp_path / "killed", "overrides": overrides}
    assert run_process(config("replay"), arguments=arguments, at=at, saving="steps").exit_code == KILLED
    (run,) = (tmp_path / "killed").iterdir()
    run_process(run).require()
    assert whole.run is not None
    require_same(run, whole.run)
    assert points(run) == points(whole.run)
    assert len(points(run)) == 4


def test_in_the_report(config: Callable[..., Path], tmp_path: Path) -> None:
    run = trained(config(), tmp_path, *ONLINE)
    groups = group_runs(find_runs([run]))
    value = read_run(run).numbers["anytime_accuracy"]
    for format in FORMATS:
        if format != TERMINAL:
            text = render(groups, format)
            assert "anytime" in text
            assert f"{100 * value:.1f}" in text or repr(value) in text
    page = render(groups, "html")
    assert f"seed 0, 34 samples: {100 * read_run(run).measured['anytime'][0, 1]:.1f} %" in page
    left, right = (
        float(x) for x in re.findall(r'class="x" x="([\d.]+)"', page[page.index("buckets so far, during") :])[:2]
    )
    assert 46 <= left < right <= 420  # in the chart
    assert "anytime" not in render(group_runs(find_runs([trained(config(), tmp_path / "plain")])), "html")


def test_samples_between_tests_are_weights() -> None:
    number = NUMBERS["anytime_accuracy"]
    assert number.compute is not None
    assert number.compute(np.array([[10, 0.5], [20, 0.7], [50, 0.9]]), None) == pytest.approx((5 + 7 + 27) / 50)


@pytest.mark.parametrize(
    ("section", "key", "words"),
    [
        ({"type": "Cumulative"}, "eval_every_steps", "learns from all buckets so far"),
        ({"type": "JointTraining"}, "eval_every_steps", "learns from the whole stream"),
        ({"type": "GDumb"}, "eval_every_steps", "learns only from its memory"),
        ({"type": "Naive", "plugins": [{"type": "BiCPlugin"}]}, "eval_every_steps", "BiCPlugin holds out samples"),
        ({"type": "NCM"}, "eval_every_steps", "NCM is tested only between buckets"),
        ({"type": "ICaRL"}, "eval_every_steps", "ICaRL is tested only between buckets"),
        ({"type": "Naive", "train_epochs": 2}, "train_epochs", "give 1"),
        ({"type": "Naive", "eval_every_steps": 0}, "eval_every_steps", "found 0, expected a whole number from 1"),
        ({"type": "Naive"}, None, ""),
        ({"type": "MIR"}, None, ""),
    ],
)
def test_what_is_not_online_is_refused(section: dict[str, Any], key: str | None, words: str) -> None:
    values = {"model": {"head": {"type": "LinearClsHead"}}, "cl_strategy": {"eval_every_steps": 4, **section}}
    faults = check(Config(values, "x.py"), CATALOGUE)
    found = [fault for fault in faults if fault.key in ("cl_strategy.eval_every_steps", "cl_strategy.train_epochs")]
    assert [fault.key for fault in found] == ([] if key is None else [f"cl_strategy.{key}"])
    assert all(words in fault.message for fault in found)


def test_more_steps_than_the_run_has(config: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"eval_every_steps: found 10, but the run has only 9 steps: it would never be tested"
    ):
        trained(config(), tmp_path, "cl_strategy.eval_every_steps=10")
