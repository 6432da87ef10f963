"""What a sweep with `--select` refuses before anything runs, and the runs that it plans."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clearctl
from clearctl.errors import ConfigError, UsageError
from clearctl.sweep.grid import read_grid
from clearctl.sweep.select.metric import read_metric
from clearctl.sweep.select.plan import SelectionPlan, plan_selection

LR = "cl_strategy.optimizer.lr"
HELD_OUT = "scenario.validation=0.2"


@pytest.fixture
def given(prepared: Path, tmp_path: Path) -> dict[str, Any]:
    return {"dataset_root": prepared, "work_dir": tmp_path / "runs", "device": "cpu", "seeds": [0, 1]}


def plan(config: Path, given: dict[str, Any], *texts: str, metric: str = "accuracy", **more: Any) -> SelectionPlan:
    return plan_selection([config], read_metric(f"validation.{metric}"), grid=read_grid(texts), **{**given, **more})


def test_the_same_runs_on_validation_images(features_config: Path, given: dict[str, Any], tmp_path: Path) -> None:
    found = plan(features_config, given, HELD_OUT, f"{LR}=0.1,0.2")
    selecting, testing = found.selecting(found.settings).runs, found.settings
    assert (found.num_settings, found.num_seeds, found.names) == (2, 2, ["features"])
    for held_out, tested in zip(selecting, testing, strict=True):
        assert (held_out.label, held_out.seed, held_out.state) == (tested.label, tested.seed, "new")
        assert tested.work_dir == tmp_path / "runs" / tested.label
        assert held_out.work_dir == tmp_path / "runs/selection" / tested.label
        values, others = dict(held_out.config.values), dict(tested.config.values)
        assert values["scenario"] == {**others["scenario"], "evaluate_on": "validation"}
        for one in (values, others):
            del one["scenario"], one["work_dir"]
        assert values == others
    assert not (tmp_path / "runs").exists()


def test_without_a_work_dir_they_lie_below_the_configs_own(
    features_config: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "own.py"
    file.write_text(features_config.read_text() + f"work_dir = {str(tmp_path / 'mine')!r}\n")
    found = plan(file, given, HELD_OUT, f"{LR}=0.1,0.2", work_dir=None)
    assert {run.work_dir for run in found.selecting(found.settings).runs} == {tmp_path / "mine/selection"}
    assert found.folder == tmp_path / "mine"


def test_the_first_buckets_alone(features_config: Path, given: dict[str, Any]) -> None:
    def buckets(*texts: str, first: int) -> list[Any]:
        found = plan(features_config, given, HELD_OUT, *texts, first=first)
        assert all(run.config.values["scenario"].get("buckets") != first for run in found.settings)
        return [run.config.values["scenario"]["buckets"] for run in found.selecting(found.settings).runs][:1]

    assert buckets(first=2) == [["0", "1"]]
    assert buckets(first=3) == [["0", "1", "2"]]
    assert buckets("scenario.buckets=['2','0']", first=1) == [["2"]]
    assert buckets("scenario.buckets='1-2'", first=1) == [["1"]]
    with pytest.raises(UsageError, match="--select-on first:4: features has 3 buckets"):
        buckets(first=4)
    with pytest.raises(UsageError, match="--select-on first:3: features has 2 buckets"):
        buckets("scenario.buckets='1-2'", first=3)
    with pytest.raises(UsageError, match="validation.next_domain: 1 bucket has no such number"):
        plan(features_config, given, HELD_OUT, metric="next_domain", first=1)


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (
            [f"{LR}=0.1,0.2"],
            r"validation.accuracy: features,lr=0.1 has no validation images: add --set scenario.validation=0.1",
        ),
        ([HELD_OUT, "scenario.evaluate_on=validation"], "so nothing would be tested: leave it out"),
        (["scenario.validation=0.1,0.2"], "differ in scenario.validation, so their validation images differ"),
        ([HELD_OUT, "scenario.seed=0,1"], "differ in scenario.seed, so their validation images differ"),
        ([HELD_OUT, "scenario.classes=['camera'],None"], "differ in scenario.classes"),
        ([HELD_OUT, "scenario.buckets='0-1','1-2'"], "differ in scenario.buckets"),
        ([HELD_OUT, "seed=0,1"], "a seed cannot be chosen: give seeds with --seeds"),
        ([HELD_OUT, f"{LR}=0.1..0.2"], "a range needs --engine optuna"),
    ],
)
def test_what_is_no_honest_choice(texts: list[str], fault: str, features_config: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=fault):
        plan(features_config, given, *texts)


def test_settings_may_differ_in_how_they_see_the_same_images(features_config: Path, given: dict[str, Any]) -> None:
    assert plan(features_config, given, HELD_OUT, "scenario.max_per_class=2,4").num_settings == 2


def test_the_ends_of_ranges_are_checked(features_config: Path, given: dict[str, Any]) -> None:
    found = plan(
        features_config, given, HELD_OUT, f"{LR}=0.1..0.2", "cl_strategy.type=Naive,Cumulative,GDumb", trials=9
    )
    assert found.num_settings == 9
    assert {run.config.values["cl_strategy"]["optimizer"]["lr"] for run in found.settings} == {0.1, 0.2}
    assert len({run.config.values["cl_strategy"]["type"] for run in found.settings}) == 3
    with pytest.raises(ConfigError, match="cl_strategy.train_epochs"):
        plan(features_config, given, HELD_OUT, "cl_strategy.train_epochs=0..5", trials=9)
    with pytest.raises(UsageError, match="nothing to search: give --set KEY=LOW..HIGH"):
        plan(features_config, given, HELD_OUT, f"{LR}=0.1", trials=9)


def test_what_python_gives_in_place_of_texts(features_config: Path, given: dict[str, Any]) -> None:
    """The same plan as that of the command line: a config alone, the metric by name, numbers in the grid."""
    grid = {"scenario.validation": [0.2], LR: (0.1, np.float64(0.2))}
    found = clearctl.plan_selection(features_config, "validation.accuracy", grid=grid, **given)
    assert found.settings == plan(features_config, given, HELD_OUT, f"{LR}=0.1,0.2").settings
    assert len(repr(found)) < 700


@pytest.mark.parametrize("number", ["first", "trials"])
def test_counts_from_python(number: str, features_config: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"^{number} is 0: expected 1 or more"):
        plan(features_config, given, HELD_OUT, f"{LR}=0.1,0.2", **{number: 0})
