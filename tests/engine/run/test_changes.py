"""A run that is resumed with another config than it began with: what is taken from which, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from killing import KILLED, Label, run_process
from runs import WATCHED, contents, newest, require_same, sentence, straight
from test_loggers import curves

from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import StateKey

pytest_plugins = ("blobs",)

WITHIN_EPOCH: Label = ("step", 1, 1, 3)
AFTER_EPOCH: Label = ("step", 1, 1, 1)
AT_START: Label = ("set-up", 1)


def stopped(config: Path, work_dir: Path, at: Label = AFTER_EPOCH, **arguments: Any) -> Path:
    """A run folder whose process was killed: in the middle of an epoch with a state of the step before, or without."""
    given = {"device": "cpu", "work_dir": work_dir, "overrides": WATCHED, **arguments}
    ended = run_process(config, arguments=given, at=at, saving="steps" if at == WITHIN_EPOCH else "epochs")
    assert ended.exit_code == KILLED, ended
    [run] = work_dir.iterdir()
    return run


def edit(run: Path, old: str, new: str) -> None:
    file = run / "config.py"
    text = file.read_text()
    assert text.count(old) == 1, text
    file.write_text(text.replace(old, new))


def accepted(run: Path, *differences: str, at: Label | None = None) -> Any:
    """How a resume ends that accepts the changes, which are just these."""
    ended = run_process(run, arguments={"accept_changes": True}, at=at, saving="epochs")
    assert ended.exit_code == (0 if at is None else KILLED), ended
    assert ended.warnings == [f"accepted: {text}" for text in differences]
    assert json.loads((run / "environment.json").read_text())["resumed"][-1]["accepted"] == list(differences)
    return ended


def epochs(run: Path) -> list[dict[str, Any]]:
    """The epochs that metrics.jsonl has."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record for record in records if record["event"] == "epoch"]


def attributes(node: Any, name: str) -> Iterator[Any]:
    """What objects and networks of a captured state have as the attribute `name`."""
    if isinstance(node, tuple) and node and node[0] in ("object", "module") and name in node[3]:
        yield node[3][name]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from attributes(child, name)


def test_more_epochs(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = stopped(write_config("naive"), tmp_path / "killed")
    edit(run, "'train_epochs': 2", "'train_epochs': 4")
    ended = accepted(run, "config: cl_strategy.train_epochs was 2, is now 4")
    assert sentence(run, (1, 1, 0)) in ended.said
    assert [(record["bucket"], record["epoch"]) for record in epochs(run)] == [
        *(("0", number) for number in (1, 2)),
        *((bucket, number) for bucket in ("1", "2") for number in (1, 2, 3, 4)),
    ]


def test_another_learning_rate(write_config: Callable[..., Path], tmp_path: Path) -> None:
    scheduler = dict(type="ExponentialLR", gamma=0.5, by="epoch", _delete_=True)
    run = stopped(write_config("naive", optimizer=dict(lr=0.25), scheduler=scheduler), tmp_path / "killed")
    edit(run, "'lr': 0.25", "'lr': 0.125")
    accepted(run, "config: cl_strategy.optimizer.lr was 0.25, is now 0.125")
    rates = [record["lr"] for record in epochs(run)]
    assert rates[:3] == [0.25, 0.125, 0.25]
    assert rates[4:] == [0.125, 0.0625]  # the next bucket, from the start


def test_a_larger_memory(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = stopped(write_config("replay", mem_size=6), tmp_path / "killed", at=("step", 2, 0, 1))
    edit(run, "'mem_size': 6", "'mem_size': 12")
    accepted(run, "config: cl_strategy.mem_size was 6, is now 12", at=("step", 2, 1, 2))
    again = state_files.read(run / "state", StateKey(2, 1))
    assert set(attributes(again["strategy"], "mem_size")) == {12}
    assert 12 in set(attributes(again["strategy"], "max_size"))
    assert 6 not in set(attributes(again["strategy"], "max_size"))
    assert run_process(run).require().warnings == []


def test_another_batch_size_within_an_epoch(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = stopped(write_config("naive"), tmp_path / "killed", at=WITHIN_EPOCH)
    assert newest(run) == (1, 1, 2)
    edit(run, "'train_mb_size': 8", "'train_mb_size': 4")
    ended = accepted(run, "config: cl_strategy.train_mb_size was 8, is now 4")
    assert sentence(run, (1, -1, 0)) in ended.said  # the batches of that epoch are others
    steps = [max(place[3] for place in ended.places if place[:3] == ("step", *epoch)) for epoch in ((1, 0), (1, 1))]
    assert steps == [6, 6]  # of 24 samples
    assert [(record["bucket"], record["epoch"]) for record in epochs(run)] == [
        (bucket, number) for bucket in "012" for number in (1, 2)
    ]


def test_other_task_labels(write_config: Callable[..., Path], tmp_path: Path) -> None:
    """Kept samples are those of the dataset, and so have its labels."""
    config = write_config("cumulative")
    labels = (*WATCHED, "scenario.task_labels=single")
    run = stopped(config, tmp_path / "killed", at=("step", 2, 1, 3), overrides=labels)
    edit(run, "'task_labels': 'single'", "'task_labels': 'bucket'")
    accepted(run, "config: scenario.task_labels was 'single', is now 'bucket'")
    tested = json.loads((run / "eval.json").read_text())["test"]
    name = "Top1_Acc_Exp/eval_phase/test_stream/Task{:03}/Exp001"
    assert [[name.format(label) in tested[row] for label in (0, 1)] for row in "012"] == [
        [True, False],
        [True, False],
        [True, True],  # the latest value of each name, as Avalanche returns them
    ]


@pytest.mark.slow
def test_another_kill_after_the_change(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("agem", train_epochs=3)
    runs = [stopped(config, tmp_path / name) for name in ("once", "twice", "at once")]
    for run in runs:
        edit(run, "'train_epochs': 3", "'train_epochs': 4")
    difference = "config: cl_strategy.train_epochs was 3, is now 4"
    accepted(runs[0], difference)
    for run, at in ((runs[1], ("step", 2, 1, 2)), (runs[2], ("loaded", 1))):
        accepted(run, difference, at=at)
        assert run_process(run).require().warnings == []
        assert len(json.loads((run / "environment.json").read_text())["resumed"]) == 2
    for record in (once := contents(runs[0]))["metrics.jsonl"]:
        if record.get("bucket") == "1" and record.get("epoch") == 1:
            record["num_epochs"] = 4  # the others were killed before they had saved it, and learned it again
    require_same(runs[1], runs[0])
    assert contents(runs[2]) == once


def test_a_kill_while_the_change_is_taken_over(write_config: Callable[..., Path], tmp_path: Path) -> None:
    """The state in the middle of an epoch was of batches of another size, and must not be continued from."""
    config = write_config("naive")
    runs = [stopped(config, tmp_path / name, at=WITHIN_EPOCH) for name in ("once", "twice")]
    for run in runs:
        edit(run, "'train_mb_size': 8", "'train_mb_size': 4")
    difference = "config: cl_strategy.train_mb_size was 8, is now 4"
    accepted(runs[0], difference)
    ended = run_process(runs[1], arguments={"accept_changes": True}, at=("renamed", "bucket_0001.state"))
    assert ended.exit_code == KILLED
    again = run_process(runs[1]).require()
    assert sentence(runs[1], (1, -1, 0)) in again.said
    require_same(runs[1], runs[0])


NUMBERS = ("accuracy_matrix.csv", "eval.json", "metrics.jsonl", *(f"checkpoints/exp_{k}.pth" for k in (1, 2, 3)))


def test_other_loggers(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("agem")
    whole = contents(straight(config, tmp_path / "straight", overrides=WATCHED).run)
    run = stopped(config, tmp_path / "killed", at=WITHIN_EPOCH)
    log = (run / "log.txt").read_text()
    edit(run, "{'type': 'TextLogger'}", "{'type': 'TensorboardLogger'}")
    accepted(run, "config: loggers.0.type was 'TextLogger', is now 'TensorboardLogger'")
    ours = contents(run)
    for name in NUMBERS:
        assert ours[name] == whole[name], name
    assert ours["csv/training_results.csv"] == whole["csv/training_results.csv"]
    assert log.startswith((run / "log.txt").read_text())
    steps = [step for step, _ in curves(run / "tensorboard")["Loss_MB/train_phase/train_stream/Task000"]]
    assert steps == sorted(set(steps))
    assert len(steps) > 3


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("{'type': 'TextLogger'}, ", "", "config: loggers.0.type was 'TextLogger', is now 'CSVLogger'"),
        (
            "{'type': 'CSVLogger'}",
            "{'type': 'CSVLogger'}, {'type': 'InteractiveLogger'}",
            "config: loggers.2.type was missing, is now 'InteractiveLogger'",
        ),
    ],
)
def test_a_logger_less_or_more(
    old: str, new: str, difference: str, write_config: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_config("naive")
    whole = contents(straight(config, tmp_path / "straight", overrides=WATCHED).run)
    run = stopped(config, tmp_path / "killed", at=WITHIN_EPOCH)
    edit(run, old, new)
    ended = run_process(run, arguments={"accept_changes": True}, at=("step", 2, 0, 2))
    assert ended.exit_code == KILLED, ended
    assert f"accepted: {difference}" in ended.warnings
    assert run_process(run).require().warnings == []
    ours = contents(run)
    for name in (*NUMBERS, "csv/training_results.csv", "csv/eval_results.csv"):
        assert ours[name] == whole[name], name


def test_images_somewhere_else(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    """With the same bits as if nothing had been: the images are the same."""
    root = tmp_path / "dataset"
    shutil.copytree(prepared, root)
    whole = straight(tiny_config, tmp_path / "straight", overrides=WATCHED, dataset_root=prepared).run
    run = stopped(tiny_config, tmp_path / "killed", dataset_root=root)
    root.rename(tmp_path / "moved")
    text = run_process(run)
    assert (text.exit_code, text.error) == (4, "DatasetError")
    edit(run, repr(str(root)), repr(str(tmp_path / "moved")))
    accepted(run, f"config: scenario.dataset_root was {str(root)!r}, is now {str(tmp_path / 'moved')!r}")
    require_same(run, whole)


def test_more_workers(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    run = stopped(tiny_config, tmp_path / "killed", dataset_root=prepared, overrides=(*WATCHED, "data.workers=0"))
    edit(run, "'workers': 0", "'workers': 2")
    ended = accepted(run, "config: data.workers was 0, is now 2")
    assert sentence(run, (1, 1, 0)) in ended.said
    assert len(epochs(run)) == 6


MID = dict(type="StackedLinearClsHead", num_classes=3, in_channels=8, mid_channels=[6])
PARTS = {
    "optimizer": ("'type': 'SGD'", "'type': 'RMSprop'"),
    "width of the head": ("[6]", "[7]"),
    "plugin": ("'plugins': []", "'plugins': [{'type': 'LwFPlugin'}]"),
    "strategy": ("'type': 'Naive'", "'type': 'CWRStar', 'cwr_layer_name': None"),
}


@pytest.mark.parametrize("part", PARTS)
def test_other_parts_are_refused(part: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("naive", model=dict(head=MID), plugins=[])
    run = stopped(config, tmp_path / "killed")
    before = {path: path.read_bytes() for path in (run / "state").iterdir()}
    text = (run / "config.py").read_text()
    edit(run, *PARTS[part])
    ended = run_process(run, arguments={"accept_changes": True})
    assert (ended.exit_code, ended.error) == (5, "RunError"), ended
    first, second = ended.text.splitlines()
    assert first.startswith(f"the config of {run} has changed the parts of its run, at ")
    assert second == "undo that, or start a new run with load_from"
    assert {path: path.read_bytes() for path in (run / "state").iterdir()} == before
    assert "resumed" not in json.loads((run / "environment.json").read_text())
    (run / "config.py").write_text(text)  # undone
    assert run_process(run).require().warnings == []
    require_same(run, straight(config, tmp_path / "straight", overrides=WATCHED).run)


def test_other_buckets_are_refused_and_the_states_stay(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = stopped(write_config("naive"), tmp_path / "killed")
    (run / "checkpoints" / ".exp_1.pth.abcdefg0.tmp").touch()  # what a kill may leave
    before = sorted(path.name for path in (run / "state").iterdir())
    text = (run / "config.py").read_text()
    edit(run, "'feature_type': 'blobs'", "'feature_type': 'blobs', 'buckets': ['0', '1']")
    ended = run_process(run, arguments={"accept_changes": True})
    assert (ended.exit_code, ended.error) == (5, "RunError"), ended
    assert "was started with the buckets 0, 1, 2, but the dataset or config now has 0, 1" in ended.text
    assert sorted(path.name for path in (run / "state").iterdir()) == before
    (run / "config.py").write_text(text)
    assert run_process(run).require().warnings == []
    assert [path.name for path in run.rglob(".*")] == []


def test_another_seed_is_said_to_play_no_part(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = stopped(write_config("der", mem_size=12), tmp_path / "killed")
    edit(run, "\nseed = 0", "\nseed = 7")
    edit(run, "'mem_size': 12", "'mem_size': 15")
    accepted(
        run,
        "config: cl_strategy.mem_size was 12, is now 15",
        "config: seed was 0, is now 7, which no longer has an effect",
        at=("step", 2, 1, 2),
    )
    state = state_files.read(run / "state", StateKey(2, 1))
    assert [sorted(node[2]) for node in attributes(state["strategy"], "seen_classes")] == [[0, 1, 2]]
