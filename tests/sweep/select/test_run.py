"""Settings are chosen on validation images, and what was chosen is tested, once."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clearctl import rundir, train
from clearctl.data.stream import read_stream
from clearctl.errors import RunError
from clearctl.progress import Message
from clearctl.report.report import make_report
from clearctl.sweep.grid import read_grid
from clearctl.sweep.local import LocalEngine, local_engine
from clearctl.sweep.outcome import RunEnded, SweepEvent, SweepListener
from clearctl.sweep.select.metric import read_metric
from clearctl.sweep.select.plan import SelectionPlan, plan_selection
from clearctl.sweep.select.run import StagePlan, run_selection

LR = "cl_strategy.optimizer.lr"
HELD_OUT = "scenario.validation=0.25"


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    """One for all: it imports the libraries once."""
    with local_engine() as engine:
        yield engine


def plan(config: Path, root: Path, work_dir: Path, *texts: str, metric: str = "accuracy", **more: Any) -> SelectionPlan:
    given = {"dataset_root": root, "work_dir": work_dir, "device": "cpu", "jobs": 1, "seeds": [0, 1]}
    return plan_selection(
        [config], read_metric(f"validation.{metric}"), grid=read_grid([HELD_OUT, *texts]), **{**given, **more}
    )


def folders(work_dir: Path) -> list[Path]:
    return sorted(path.relative_to(work_dir) for path in work_dir.rglob("*-seed*") if rundir.is_run(path))


def test_no_test_image_is_read_before_the_choice(
    tiny_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    """Until the second stage begins all images of the test parts are garbage, and so are their lists."""
    root, work_dir, lrs = tmp_path / "clear", tmp_path / "runs", (0.0001, 0.1)
    shutil.copytree(prepared, root)
    # Of one split: an image in its test part is in the training part of another.
    spoilt = [root / path for bucket in read_stream(root, protocol="iid", seed=0).buckets for path in bucket.test.paths]
    spoilt += root.glob("training_folder/testset_ratio_0.3/*/*/test*")
    sound = {file: file.read_bytes() for file in spoilt}
    assert len(sound) > 30
    for file in spoilt:
        file.write_bytes(b"garbage")
    stages: list[str] = []

    @contextmanager
    def restore_for_tests(stage: StagePlan) -> Iterator[SweepListener]:
        stages.append(stage.title)
        if stage.tests:
            assert rundir.selection_file(work_dir).is_file()
            assert all(str(folder).startswith("selection/") for folder in folders(work_dir))
            for file, content in sound.items():
                file.write_bytes(content)
        yield lambda event: None

    found = plan(tiny_config, root, work_dir, f"{LR}={lrs[0]},{lrs[1]}", "cl_strategy.train_epochs=1", seeds=[0])
    result = run_selection(found, stage=restore_for_tests, local=engine)
    assert stages == ["selection", "test"]
    values = {run.label: rundir.read_eval(outcome.run)["clear_metrics"]["accuracy"] for run, outcome in result.measured}
    assert len(set(values.values())) == 2
    [choice], [(tested, outcome)] = result.choices, result.tested
    assert choice.chosen is not None
    assert choice.chosen.label == tested.label == max(values, key=lambda label: values[label])
    alone = train(
        tiny_config,
        device="cpu",
        overrides=[HELD_OUT, f"{LR}={tested.label.rpartition('=')[2]}", "cl_strategy.train_epochs=1"],
        work_dir=tmp_path / "alone",
        dataset_root=root,
    )
    assert outcome.matrix is not None
    assert outcome.matrix.tolist() == alone.matrix.tolist()


def test_only_what_was_chosen_is_tested_and_nothing_twice(
    features_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    def select(*texts: str) -> tuple[Any, list[Path], list[str]]:
        said: list[str] = []

        @contextmanager
        def listen(stage: StagePlan) -> Iterator[SweepListener]:
            yield lambda event: said.append(event.text) if isinstance(event, Message) else None

        before = set(folders(tmp_path))
        result = run_selection(plan(features_config, prepared, tmp_path, *texts), stage=listen, local=engine)
        return result, [folder for folder in folders(tmp_path) if folder not in before], said

    result, new, said = select(f"{LR}=0.0001,0.3", "cl_strategy.train_epochs=3")
    assert [folder.parts[0] for folder in new] == ["features,lr=0.3"] * 2 + ["selection"] * 4
    assert said == []
    [record] = result.records
    assert json.loads(rundir.selection_file(tmp_path).read_text()) == {"choices": [record]}
    assert (record["chosen"], record["tried"], record["seeds"]) == ("features,lr=0.3", 2, 2)
    for run, outcome in result.tested:
        assert rundir.read_selection(outcome.run) == record
        assert run.seed == rundir.read_config(outcome.run)["seed"]
    again, new, said = select(f"{LR}=0.0001,0.3", "cl_strategy.train_epochs=3")
    assert (new, said, again.records) == ([], [], result.records)
    # The same two and a third one, that is better or not: what was measured before is not run again.
    _, new, _ = select(f"{LR}=0.0001,0.3,0.31", "cl_strategy.train_epochs=3")
    assert [folder.parts[:2] for folder in new if folder.parts[0] == "selection"] == [
        ("selection", "features,lr=0.31")
    ] * 2
    # Without the best one: another is chosen, and tested after the first one was.
    _, _, said = select(f"{LR}=0.0001", "cl_strategy.train_epochs=3,2")
    assert len(said) == 1
    assert "was chosen before from 3, now features,train_epochs=" in said[0]


def test_on_the_first_buckets(features_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine) -> None:
    """The later buckets' features are gone until the tests."""
    root = shutil.copytree(prepared, tmp_path / "clear")
    last = root / "training_folder/features/tiny/2"
    last.rename(tmp_path / "away")

    @contextmanager
    def restore_for_tests(stage: StagePlan) -> Iterator[SweepListener]:
        if stage.tests:
            (tmp_path / "away").rename(last)
        yield lambda event: None

    found = plan(features_config, root, tmp_path / "runs", f"{LR}=0.01,0.3", first=2)
    result = run_selection(found, stage=restore_for_tests, local=engine)
    assert {outcome.matrix.shape for _, outcome in result.measured if outcome.matrix is not None} == {(2, 2)}
    assert {outcome.matrix.shape for _, outcome in result.tested if outcome.matrix is not None} == {(3, 3)}
    [group] = make_report([tmp_path / "runs"])
    from clearctl.report.remarks import remarks

    text = "features: chosen of 2 settings by validation accuracy (mean of 2 seeds, on the first 2 buckets)"
    assert [remark.text for remark in remarks([group])] == [text]


def test_where_nothing_can_be_chosen_nothing_is_tested(
    features_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    found = plan(features_config, prepared, tmp_path, f"{LR}=1e38,2e38", "cl_strategy.train_epochs=6")
    with pytest.raises(RunError) as caught:
        run_selection(found, local=engine)
    first, second = str(caught.value).splitlines()
    assert first == "no setting of features can be chosen by validation.accuracy: none is tested"
    assert second.startswith("features,lr=1e+38: seed 0 diverged, features,lr=2e+38: seed 0 diverged")
    assert all(folder.parts[0] == "selection" for folder in folders(tmp_path))


class Cut(Exception):
    """Ends a search in its middle."""


def test_a_search_that_is_stopped_loses_nothing(
    features_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    """It ends with the runs of one that was not, and one of more trials begins with the same."""
    texts = [f"{LR}=0.01..1.0:log", "cl_strategy.train_mb_size=4,8"]

    def search(work_dir: Path, trials: int, local: LocalEngine, cut_at: int = -1) -> Any:
        ended = 0

        def listen(event: SweepEvent) -> None:
            nonlocal ended
            ended += isinstance(event, RunEnded)
            if ended == cut_at:
                raise Cut

        @contextmanager
        def stage(stage: StagePlan) -> Iterator[SweepListener]:
            yield listen

        given = {"trials": trials, "seeds": [0], "sampler_seed": 5, "metric": "in_domain"}
        found = plan(features_config, prepared, work_dir, *texts, **given)
        return run_selection(found, stage=stage, local=local)

    straight = search(tmp_path / "straight", 5, engine)
    with local_engine() as other, pytest.raises(Cut):
        search(tmp_path / "cut", 3, other, cut_at=2)
    shorter = search(tmp_path / "cut", 3, engine)
    continued = search(tmp_path / "cut", 5, engine)

    def measured(result: Any) -> dict[str, float]:
        return {setting.label: setting.values[0] for setting in result.choices[0].settings}

    assert list(measured(straight).items())[:3] == list(measured(shorter).items())
    assert measured(continued) == measured(straight)
    assert continued.records[0]["tried"] == 5
    assert len([folder for folder in folders(tmp_path / "cut") if folder.parts[0] == "selection"]) == 5
    again = search(tmp_path / "cut", 5, engine, cut_at=0)
    assert again.records == continued.records


def test_a_setting_that_is_drawn_again_is_measured_once(
    features_config: Path, prepared: Path, tmp_path: Path, engine: LocalEngine
) -> None:
    found = plan(features_config, prepared, tmp_path, "cl_strategy.train_mb_size=4,8", trials=6, seeds=[1])
    result = run_selection(found, local=engine)
    assert sorted(setting.label for setting in result.choices[0].settings) == [
        f"features,train_mb_size={size}" for size in (4, 8)
    ]
    assert result.records[0]["tried"] == 2
    assert len(folders(tmp_path)) == 3
