"""What runs a sweep is made of, and which of them already exist."""

import shutil
from pathlib import Path

import pytest
import torch

from clearctl import layout, rundir, train
from clearctl.engine.run.train import start
from clearctl.errors import ConfigError, UsageError
from clearctl.progress import BucketDone, Event, ignore
from clearctl.report.groups import group_runs
from clearctl.report.runs import find_runs
from clearctl.sweep.grid import read_grid
from clearctl.sweep.plan import PlannedRun, config_names, make_plan

LR = "cl_strategy.optimizer.lr"
EPOCHS = "cl_strategy.train_epochs"


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("a.lr=0.1,1.0", "a.lr", ["0.1", "1.0"]),
        (" a.lr = 0.1 , 1.0 ", "a.lr", ["0.1", "1.0"]),
        ("a=[1,2],[3]", "a", ["[1,2]", "[3]"]),
        ("a={'x':(1,2),'y':'p,q'},None", "a", ["{'x':(1,2),'y':'p,q'}", "None"]),
        ("""a='x,y',"it's, so",z""", "a", ["'x,y'", '''"it's, so"''', "z"]),
        ("a=b=c,d", "a", ["b=c", "d"]),
        ("a=1", "a", ["1"]),
    ],
)
def test_a_grid_is_parted_at_its_own_commas(text: str, key: str, values: list[str]) -> None:
    assert read_grid([text]) == {key: values}


@pytest.mark.parametrize("text", ["a", "=1", "a=", "a=1,", "a=,1", "a= , 1", ""])
def test_what_is_no_grid(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected KEY=VALUE,VALUE"):
        read_grid([text])


def test_a_key_that_is_given_twice() -> None:
    with pytest.raises(UsageError, match="a is given twice: put all its values into one --set"):
        read_grid(["a=1", "a =2"])


def test_the_product_in_its_order(features_config: Path, tmp_path: Path) -> None:
    grid = {LR: ["0.1", "0.2"], EPOCHS: ["1"], "cl_strategy.type": ["Naive", "'Cumulative'"]}
    runs = make_plan([features_config], seeds=[3, 1], grid=grid, work_dir=tmp_path)
    assert [(run.label, run.seed) for run in runs] == [
        (f"features,lr={lr},type={kind}", seed)  # what does not vary is no part of the label
        for lr in ("0.1", "0.2")
        for kind in ("Naive", "Cumulative")
        for seed in (3, 1)
    ]
    assert {run.state for run in runs} == {"new"}
    assert {run.config.values["cl_strategy"]["train_epochs"] for run in runs} == {1}
    assert [run.config.values["cl_strategy"]["optimizer"]["lr"] for run in runs] == [0.1] * 4 + [0.2] * 4
    assert [run.config.values["cl_strategy"]["type"] for run in runs] == (["Naive"] * 2 + ["Cumulative"] * 2) * 2
    assert [run.work_dir for run in runs] == [tmp_path / run.label for run in runs]
    assert list(tmp_path.iterdir()) == []


def test_values_are_lists_and_dicts_too(features_config: Path) -> None:
    grid = read_grid(["scenario.buckets=['0','1'],['2']", "cl_strategy.optimizer={'type':'Adam','lr':0.01}"])
    runs = make_plan([features_config], grid=grid)
    assert [run.config.values["scenario"]["buckets"] for run in runs] == [["0", "1"], ["2"]]
    assert [run.config.values["cl_strategy"]["optimizer"] for run in runs] == [{"type": "Adam", "lr": 0.01}] * 2


def test_the_seed_is_the_splits_too(features_config: Path) -> None:
    def seeds(**arguments: object) -> list[tuple[int, int]]:
        runs = make_plan([features_config], **arguments)  # type: ignore[arg-type]
        assert [run.seed for run in runs] == [run.config.values["seed"] for run in runs]
        return [(run.seed, run.config.values["scenario"]["seed"]) for run in runs]

    assert seeds() == [(0, 0)]
    assert seeds(seeds=[4, 5]) == [(4, 4), (5, 5)]
    assert seeds(seeds=[4, 5], grid={"scenario.seed": ["1"]}) == [(4, 1), (5, 1)]
    assert seeds(grid={"seed": ["7", "8"]}) == [(7, 0), (8, 0)]
    streaming = make_plan([features_config], seeds=[4], grid={"scenario.evaluation_protocol": ["streaming"]})
    assert [run.config.values["scenario"]["seed"] for run in streaming] == [0]


def test_folders_are_the_configs_own_without_a_work_dir(features_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(features_config.read_text() + f"work_dir = {str(tmp_path / 'mine')!r}\n")
    assert {run.work_dir for run in make_plan([file], seeds=[0, 1], grid={LR: ["1", "2"]})} == {tmp_path / "mine"}
    with_one = make_plan([file], grid={LR: ["1", "2"]}, work_dir=tmp_path / "there")
    assert [run.work_dir for run in with_one] == [tmp_path / "there" / f"own,lr={lr}" for lr in (1, 2)]


@pytest.mark.parametrize("name", ["a/b\\c", "ä" * 300])
def test_a_folder_has_a_name_that_file_systems_take(name: str, features_config: Path, tmp_path: Path) -> None:
    grid = {"load_from": [f"{name}1", f"{name}2"]}
    places = [run.work_dir for run in make_plan([features_config], grid=grid, work_dir=tmp_path)]
    assert len(set(places)) == 2
    for place in places:
        assert place.parent == tmp_path
        place.mkdir()


def test_names_of_configs_are_as_long_as_they_must_be() -> None:
    files = [Path(name) for name in ("/c/naive/clear10.py", "/c/lwf/clear10.py", "/c/lwf/clear100.py")]
    assert config_names(files) == ["naive_clear10", "lwf_clear10", "clear100"]
    assert config_names([Path("/c/x.py")] * 2) == ["x", "x"]


def test_the_faults_of_all_configs_at_once(features_config: Path, tmp_path: Path) -> None:
    files = [tmp_path / "one.py", tmp_path / "two.py", tmp_path / "gone.py"]
    text = features_config.read_text()
    files[0].write_text(text.replace("'SGD'", "'SDG'").replace('"SGD"', '"SDG"'))
    files[1].write_text(text.replace("train_epochs=2", "train_epoch=2"))
    with pytest.raises(ConfigError) as caught:
        make_plan(files, seeds=[0, 1], grid={LR: ["0.1", "0.2"]})
    lines = str(caught.value).splitlines()
    assert len(lines) == len(set(lines)) == 4  # each once, of two combinations and two seeds
    assert "cl_strategy.optimizer.type" in lines[0]
    assert "train_epoch" in lines[1]
    assert lines[2].startswith(f"{files[2]}: no such config file")


@pytest.mark.parametrize(
    ("times", "arguments"),
    [
        (2, {}),
        (1, {"seeds": [0, 1, 0]}),
        (1, {"grid": {LR: ["0.1", "0.10"]}}),
        (1, {"grid": {LR: ["0.1", "1e-1"]}, "work_dir": "runs"}),
    ],
)
def test_a_run_that_is_in_the_sweep_twice(times: int, arguments: dict, features_config: Path) -> None:
    with pytest.raises(UsageError, match=r"^features.* with seed 0 is in the sweep twice$"):
        make_plan([features_config] * times, **arguments)


@pytest.mark.parametrize("seeds", [None, []])
def test_a_sweep_of_nothing(seeds: list[int] | None, features_config: Path) -> None:
    with pytest.raises(UsageError, match="the sweep has no runs"):
        make_plan([] if seeds is None else [features_config], seeds=seeds)


def test_seeds_that_are_given_twice(features_config: Path) -> None:
    with pytest.raises(UsageError, match="given twice, with --seeds and as values of seed"):
        make_plan([features_config], seeds=[0], grid={"seed": ["1"]})


class Cut(Exception):
    """Ends a run in its middle, as a fault would."""


def cut_short(event: Event) -> None:
    if isinstance(event, BucketDone) and event.bucket_number == 2:
        raise Cut


def only(config: Path, root: Path, work_dir: Path, **arguments: object) -> PlannedRun:
    given = {"seeds": [1], "grid": {LR: ["0.3"]}, "work_dir": work_dir, "dataset_root": root, **arguments}
    [run] = make_plan([config], **given)  # type: ignore[arg-type]
    return run


def test_a_run_is_known_by_its_config_whoever_made_it(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    """Here `train` did: one that was cut short, then one that was not."""
    given = {
        "device": "cpu",
        "seed": 1,
        "overrides": [f"{LR}=0.3", "scenario.seed=1"],
        "dataset_root": prepared,
        "work_dir": tmp_path / "features",
    }
    assert only(features_config, prepared, tmp_path).state == "new"
    with pytest.raises(Cut):
        train(features_config, listener=cut_short, **given)  # type: ignore[arg-type]
    cut = only(features_config, prepared, tmp_path)
    assert (cut.state, cut.run) == ("resume", next((tmp_path / "features").iterdir()))
    result = train(features_config, **given)  # type: ignore[arg-type]
    found = only(features_config, prepared, tmp_path)
    assert (found.state, found.run) == ("finished", result.run)
    assert only(features_config, prepared, tmp_path, seeds=[0]).state == "new"
    for grid in ({LR: ["0.30001"]}, {LR: ["0.3"], EPOCHS: ["3"]}):
        assert only(features_config, prepared, tmp_path, grid=grid).state == "new"
    assert only(features_config, prepared, tmp_path / "features").state == "new"


def test_a_run_that_was_changed_is_none_of_the_sweeps(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    overrides = [f"{LR}=0.3", "scenario.seed=1"]
    given = {"overrides": overrides, "seed": 1, "dataset_root": prepared, "work_dir": tmp_path / "features"}
    run = train(features_config, device="cpu", **given).run  # type: ignore[arg-type]
    config = rundir.config_file(run)
    whole = config.read_text()
    for changed in (whole.replace("0.3", "0.4", 1), whole + "import os\n", ""):
        config.write_text(changed)
        assert only(features_config, prepared, tmp_path).state == "new"
    config.write_text(whole)
    assert only(features_config, prepared, tmp_path).state == "finished"
    rundir.matrix_file(run).write_text("damaged")  # which is for the run to tell
    assert only(features_config, prepared, tmp_path).state == "resume"
    shutil.rmtree(run)
    assert only(features_config, prepared, tmp_path).state == "new"


def test_runs_whose_data_changed_do_not_count(features_config: Path, prepared: Path, tmp_path: Path) -> None:
    """Each run is of the same config, seed and folder; what lies in the files is another."""
    root = tmp_path / "data"
    shutil.copytree(prepared, root, ignore=shutil.ignore_patterns("image_cache"))
    weights = tmp_path / "first.pth"
    first = train(features_config, dataset_root=root, work_dir=tmp_path / "first", device="cpu")
    shutil.copy(rundir.checkpoint_file(first.run, 1), weights)

    def plan() -> PlannedRun:
        arguments = {"load_from": [repr(str(weights))]}
        [found] = make_plan([features_config], seeds=[0], grid=arguments, work_dir=tmp_path / "runs", dataset_root=root)
        return found

    def trained() -> Path:
        planned = plan()
        return start(planned.config, planned.source, device="cpu", listener=ignore).run

    run = trained()
    assert (plan().state, plan().run, plan().changed) == ("finished", run, "")
    features = layout.features_file(root, "tiny", "1")
    x, labels = torch.load(features, weights_only=True)
    torch.save((x + 0.5, labels), features)
    found = plan()
    assert (found.state, found.run) == ("new", None)
    assert found.changed == f"features seed 0 is run again: the features changed since {run}"
    again = trained()
    assert (plan().state, plan().run) == ("finished", again)
    shutil.copy(rundir.checkpoint_file(first.run, 2), weights)
    assert plan().changed.endswith(f"the weights of load_from changed since {again}")
    shutil.copy(rundir.checkpoint_file(first.run, 1), weights)
    torch.save((x, labels), features)
    assert (plan().state, plan().run) == ("finished", run)
    for group in (groups := group_runs(find_runs([tmp_path / "runs"]))):
        assert group.label.startswith("features, features=")
    assert len(groups) == 2
    names = layout.read_class_names(root)
    for file in root.rglob("class_names.txt"):
        file.write_text("\n".join(["other", *names[1:]]) + "\n")
    assert "the class names" in plan().changed
    shutil.rmtree(root)
    assert plan().state == "finished"  # nothing can be notified of it
