"""What is read of run folders, and what is left out with which words."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from report.folders import MATRIX, SECONDS, UNTRAINED, added, make_run, summary

from clearctl.errors import RunError
from clearctl.progress import Event, Message
from clearctl.report.runs import find_runs, read_run, require_one_dataset


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def listener(reported: list[str]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        assert isinstance(event, Message)
        assert event.warning
        reported.append(event.text)

    return listen


def test_a_run_has_what_its_files_have(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", seed=3, epochs=4, **{"cl_strategy.optimizer.lr": 0.5})
    run = read_run(folder)
    rows = list(csv.reader((folder / "accuracy_matrix.csv").open()))
    assert run.bucket_names == rows[0][1:] == ["0", "1", "2"]
    assert run.matrix.tolist() == [list(map(float, row[1:])) for row in rows[1:]] == [list(row) for row in MATRIX]
    assert (run.folder, run.seed, run.name, run.finished) == (folder, 3, "naive", True)
    assert run.values["cl_strategy"]["optimizer"]["lr"] == 0.5
    assert run.untrained == list(UNTRAINED)
    assert [(epoch["bucket"], epoch["epoch"]) for epoch in run.epochs] == [
        (bucket, epoch) for bucket in "012" for epoch in (1, 2, 3, 4)
    ]


def test_numbers_are_those_of_the_matrix_and_of_eval_json(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", epochs=4)
    numbers = read_run(folder).numbers
    found = json.loads((folder / "eval.json").read_text())
    clear, gem = summary(MATRIX, found["untrained"])
    assert numbers == pytest.approx({**clear, **added(MATRIX), **gem, "training_s": 3 * 4 * SECONDS}, abs=1e-12)
    written = {**found["clear_metrics"], **found["gem_metrics"], "training_s": 6.0}
    assert {name: numbers[name] for name in written} == pytest.approx(written, abs=1e-12)
    # 0.8 0.6 0.4 / 0.7 0.9 0.5 / 0.5 0.7 0.9, from 0.3 0.2 0.1 untrained, on paper
    assert numbers == pytest.approx(
        {
            "in_domain": 2.6 / 3,
            "next_domain": 1.1 / 2,
            "accuracy": 4.5 / 6,
            "backward_transfer": 1.9 / 3,
            "forward_transfer": 1.5 / 3,
            "gem_bwt": (-0.3 - 0.2) / 2,
            "gem_fwt": (0.4 + 0.4) / 2,
            "training_s": 6.0,
            "challenge": (1.1 / 2 + 2.6 / 3 + 1.9 / 3 + 1.5 / 3) / 4,
            "final_domain": (0.4 + 0.5 + 0.9) / 3,
        },
        abs=1e-12,
    )


def test_numbers_of_a_real_run_are_those_that_it_wrote(trained) -> None:
    run = read_run(trained.run)
    written = json.loads((trained.run / "eval.json").read_text())
    lines = map(json.loads, (trained.run / "metrics.jsonl").read_text().splitlines())
    seconds = sum(line["seconds"] for line in lines if line["event"] == "epoch")
    expected = {**written["clear_metrics"], **written["gem_metrics"], "training_s": seconds}
    assert {name: run.numbers[name] for name in expected} == expected
    assert run.finished
    assert run.name == "tiny"


def test_a_run_still_going_has_what_it_has_done(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", MATRIX[:2])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"event": "epoch", "buck')  # being written
    run = read_run(folder)
    assert run.matrix.shape == (2, 3)
    assert not run.finished
    assert run.numbers == {"training_s": 4 * SECONDS}


def test_a_run_without_its_weights_is_finished_and_one_with_a_state_is_not(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    shutil.rmtree(folder / "checkpoints")
    assert read_run(folder).finished
    (folder / "state").mkdir()
    (folder / "state/bucket_0003.state").write_bytes(b"of the last bucket")
    assert not read_run(folder).finished


@pytest.mark.parametrize(
    ("config", "values", "name"),
    [
        ("configs/clear10/naive.py", {}, "naive"),
        ("configs/naive.py", {"name": "mine"}, "mine"),
        (None, {}, "Naive"),
    ],
)
def test_names(tmp_path: Path, config: str | None, values: dict[str, str], name: str) -> None:
    assert read_run(make_run(tmp_path / "run", config=config, **values)).name == name


def test_runs_are_found_below_a_folder_each_once(tmp_path: Path) -> None:
    made = [make_run(tmp_path / name) for name in ("b/deep/er/2", "a/1", "a/3")]
    make_run(made[0] / "copy")  # what lies in a run folder is the run's
    (tmp_path / "link").symlink_to(made[1])
    found = find_runs([tmp_path, made[0], tmp_path / "link", tmp_path / "a"])
    assert [run.folder.resolve() for run in found] == sorted(made)


def test_numbers_in_the_names_of_folders_count_as_numbers(tmp_path: Path) -> None:
    names = ["lr=1e-05/1", "lr=0.003/1", "lr=0.02/1", "lr=0.02/2", "lr=2/20261128-131226-seed0", "lr=10/1"]
    for name in reversed(names):
        make_run(tmp_path / name)
    assert [str(run.folder.relative_to(tmp_path)) for run in find_runs([tmp_path])] == names


def test_what_cannot_be_reported_is_named_and_left_out(tmp_path: Path, reported: list[str], listener) -> None:
    (tmp_path / "empty").mkdir()
    fresh = make_run(tmp_path / "fresh")
    (fresh / "eval.json").unlink()
    make_run(tmp_path / "good")
    folders = [tmp_path / name for name in ("nowhere", "empty", "fresh", "good")]
    assert [run.folder.name for run in find_runs(folders, listener)] == ["good"]
    assert reported == [
        f"no such folder: {tmp_path}/nowhere",
        f"{tmp_path}/empty is not a run folder, and contains none: left out",
        f"{tmp_path}/fresh has no evaluation yet: no bucket was tested: left out",
    ]
    with pytest.raises(RunError, match="no run to report"):
        find_runs(folders[:3], listener)


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("eval.json", "{", "cannot be read"),
        ("eval.json", "[]", "found [], expected an object"),
        ("eval.json", '{"untrained": [0.1]}', "'untrained' of every bucket"),
        (
            "eval.json",
            '{"anytime": [{"bucket": 9, "step": 1, "samples_seen": 5, "accuracies": [0.1, 0.2, 0.3]}]}',
            "'anytime' in order",
        ),
        ("accuracy_matrix.csv", "", "cannot be read"),
        ("accuracy_matrix.csv", "trained_to,0,1,2\n", "no evaluation yet"),
        ("accuracy_matrix.csv", "trained_to,0,1,2\n0,0.5,0.5\n", "expected 3 accuracies"),
        ("accuracy_matrix.csv", "trained_to,0\n0,0.5\n1,0.5\n", "no more rows"),
        ("accuracy_matrix.csv", "trained_to,0\n0,high\n", "high"),
        ("accuracy_matrix.csv", "trained_to,0\n0,nan\n", "accuracies from 0 to 1"),
        ("accuracy_matrix.csv", "trained_to,0\n0,50.0\n", "accuracies from 0 to 1"),
        ("metrics.jsonl", "1\n", "0: found 1, expected an object"),
        ("metrics.jsonl", '{"event": "epoch"}\n', "bucket: missing"),
        ("environment.json", "{}", "device: missing"),
        ("config.py", "import os\n", "is damaged"),
        ("config.py", "scenario = {}\n", "cl_strategy: missing"),
        ("config.py", "cl_strategy = {'type': 'Naive'}\n", "scenario: missing"),
    ],
)
def test_a_damaged_file_is_named(
    tmp_path: Path, reported: list[str], listener, file: str, text: str, words: str
) -> None:
    folder = make_run(tmp_path / "run")
    (folder / file).write_text(text)
    with pytest.raises(RunError, match="no run to report"):
        find_runs([folder], listener)
    [line] = reported
    assert str(folder) in line
    assert words in line
    assert "\n" not in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_looked_into_is_left_out(tmp_path: Path) -> None:
    make_run(tmp_path / "good")
    for mode in (0o000, 0o400):
        folder = make_run(tmp_path / f"closed{mode}")
        folder.chmod(mode)
    try:
        assert [run.folder.name for run in find_runs([tmp_path])] == ["good"]
    finally:
        for folder in tmp_path.glob("closed*"):
            folder.chmod(0o700)


def test_one_dataset_whatever_its_place_protocol_and_features(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    other = {
        "scenario.dataset_root": "/elsewhere",
        "scenario.evaluation_protocol": "streaming",
        "scenario.feature_type": "other",
    }
    make_run(tmp_path / "2", **other)
    require_one_dataset(find_runs([tmp_path]))


@pytest.mark.parametrize(
    ("other", "what"), [({"filelists": "1" * 64}, "datasets"), ({"bucket_names": ["1", "2", "3"]}, "buckets")]
)
def test_other_datasets_and_buckets_are_refused(tmp_path: Path, other: dict, what: str) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", **other)
    with pytest.raises(RunError, match=f"1 and .*2 have different {what}.*\n.*--force"):
        require_one_dataset(find_runs([tmp_path]))
