"""Training end to end: what a run folder holds is what was trained, and can be checked without clearctl."""

import csv
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from clearctl import filelists, rundir
from clearctl.engine.build.config import open_config
from clearctl.engine.run.train import TrainResult, train
from clearctl.errors import ConfigError, DatasetError, RunError
from clearctl.layout import filelist_file, ratio_split_folder, read_filelist
from clearctl.progress import BucketDone, EpochDone, Event, Message

BUCKETS = ["0", "1", "2"]


def weights(run: Path, trained_buckets: int) -> dict[str, torch.Tensor]:
    return torch.load(run / f"checkpoints/exp_{trained_buckets}.pth", weights_only=True)


def same_weights(one: Path, other: Path, trained_buckets: int) -> bool:
    first, second = weights(one, trained_buckets), weights(other, trained_buckets)
    assert list(first) == list(second)
    return all(torch.equal(first[name], second[name]) for name in first)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


# The run folder


def test_run_folder_holds_exactly_what_is_promised(trained: TrainResult) -> None:
    files = sorted(str(path.relative_to(trained.run)) for path in trained.run.rglob("*") if path.is_file())
    assert files == [
        "accuracy_matrix.csv",
        "checkpoints/SHA256SUMS",
        "checkpoints/exp_1.pth",
        "checkpoints/exp_2.pth",
        "checkpoints/exp_3.pth",
        "config.py",
        "environment.json",
        "eval.json",
        "log.txt",
        "metrics.jsonl",
        "report.html",
    ]
    assert re.fullmatch(r"\d{8}-\d{6}-seed0", trained.run.name)


def test_checkpoints_have_their_sha256(trained: TrainResult) -> None:
    checked = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=trained.run / "checkpoints", capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout) == (0, "".join(f"exp_{k}.pth: OK\n" for k in (1, 2, 3))), checked


def test_matrix_file_is_the_result_exactly(trained: TrainResult) -> None:
    with (trained.run / "accuracy_matrix.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == ["trained_to", *BUCKETS]
    assert [row[0] for row in rows] == BUCKETS
    assert np.array_equal(np.array([row[1:] for row in rows], dtype=float), trained.matrix)
    assert trained.matrix.shape == (3, 3)
    assert len(np.unique(trained.matrix)) > 2  # else the comparisons of matrices here say little


def test_summary_numbers_are_those_of_the_matrix(trained: TrainResult) -> None:
    written = json.loads((trained.run / "eval.json").read_text())
    assert list(written) == ["train", "test", "clear_metrics", "gem_metrics", "untrained", "diverged"]
    r, untrained = trained.matrix, written["untrained"]
    assert written["clear_metrics"] == pytest.approx(
        {
            "in_domain": (r[0, 0] + r[1, 1] + r[2, 2]) / 3,
            "next_domain": (r[0, 1] + r[1, 2]) / 2,
            "accuracy": (r[0, 0] + r[1, 0] + r[1, 1] + r[2, 0] + r[2, 1] + r[2, 2]) / 6,
            "backward_transfer": (r[1, 0] + r[2, 0] + r[2, 1]) / 3,
            "forward_transfer": (r[0, 1] + r[0, 2] + r[1, 2]) / 3,
        },
        rel=1e-12,
    )
    assert written["gem_metrics"] == pytest.approx(
        {
            "gem_bwt": ((r[2, 0] - r[0, 0]) + (r[2, 1] - r[1, 1])) / 2,
            "gem_fwt": ((r[0, 1] - untrained[1]) + (r[1, 2] - untrained[2])) / 2,
        },
        rel=1e-12,
    )
    assert written["clear_metrics"] == trained.clear_metrics
    assert written["gem_metrics"] == trained.gem_metrics


def test_avalanches_own_metric_agrees_with_the_matrix(trained: TrainResult) -> None:
    written = json.loads((trained.run / "eval.json").read_text())
    assert list(written["train"]) == list(written["test"]) == ["0", "1", "2"]
    for row in range(3):
        found = [
            written["test"][str(row)][f"Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp00{column}"]
            for column in range(3)
        ]
        assert found == pytest.approx(trained.matrix[row], abs=1e-6)


def test_metrics_file_has_every_epoch_and_every_tested_bucket(trained: TrainResult) -> None:
    records = lines(trained.run / "metrics.jsonl")
    epochs = [record for record in records if record["event"] == "epoch"]
    tests = [record for record in records if record["event"] == "test"]
    assert len(epochs) + len(tests) == len(records)
    assert [(record["bucket"], record["epoch"]) for record in epochs] == [(b, e) for b in BUCKETS for e in (1, 2)]
    assert {(record["num_epochs"], record["num_buckets"], record["num_samples"]) for record in epochs} == {(2, 3, 26)}
    assert all(0 < record["loss"] < 10 and 0 <= record["accuracy"] <= 1 for record in epochs)
    found = {(record["trained_to"], record["bucket"]): record["accuracy"] for record in tests}
    assert len(found) == len(tests) == 9
    assert found == {(a, b): trained.matrix[int(a), int(b)] for a in BUCKETS for b in BUCKETS}


def test_learning_rate_of_an_epoch_is_the_one_it_was_trained_with(trained: TrainResult) -> None:
    rates = [record["lr"] for record in lines(trained.run / "metrics.jsonl") if record["event"] == "epoch"]
    assert rates == [0.1, 0.05] * 3  # StepLR halves it after each epoch, and each bucket starts over


def test_log_is_written_by_the_text_logger(trained: TrainResult) -> None:
    text = (trained.run / "log.txt").read_text()
    assert text.count("-- >> Start of training phase << --") == 3
    for row in range(3):
        assert f"-- Starting training on experience {row} (Task 0) from train stream --" in text
    assert f"Task000/Exp002 = {trained.matrix[2, 2]:.4f}" in text


def test_environment_names_versions_device_and_dataset(trained: TrainResult, prepared: Path) -> None:
    found = json.loads((trained.run / "environment.json").read_text())
    assert found["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert (found["device"], found["seed"]) == ("cpu", 0)
    assert found["dataset"]["root"] == str(prepared)
    assert re.fullmatch(r"[0-9a-f]{64}", found["dataset"]["fingerprint"])
    assert found["dataset"]["filelists"] == filelists.sha256(prepared, ["0", "1", "2"])
    assert found["dataset"]["class_names"] == ["BACKGROUND", "camera", "cup of tea"]
    assert found["config"].endswith("tiny.py")


# Checked by hand, without clearctl's data, model or loop


@pytest.fixture(scope="module")
def images_by_hand(prepared: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(x [N, 3, 14, 14], y [N]) of each bucket's test set."""
    steps = transforms.Compose(
        [transforms.CenterCrop(14), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    )
    result = []
    for bucket in BUCKETS:
        text = (prepared / f"training_folder/testset_ratio_0.3/split_0/{bucket}/test.txt").read_text()
        listed = [line.rsplit(" ", 1) for line in text.split("\n")]
        x = torch.stack([steps(Image.open(prepared / path).convert("RGB")) for path, _ in listed])
        result.append((x, torch.tensor([int(label) for _, label in listed])))
    return result


@pytest.mark.parametrize("row", [0, 1, 2])
def test_checkpoint_gives_the_recorded_accuracies_in_a_net_built_by_hand(
    row: int, trained: TrainResult, images_by_hand: list[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    from mmcls.models import build_backbone, build_head, build_neck

    parts = {
        "backbone": build_backbone(
            dict(
                type="ResNet",
                depth=18,
                num_stages=1,
                strides=(1,),
                dilations=(1,),
                out_indices=(0,),
                stem_channels=4,
                base_channels=4,
            )
        ),
        "neck": build_neck(dict(type="GlobalAveragePooling")),
        "head": build_head(dict(type="LinearClsHead", num_classes=3, in_channels=4)),
    }
    network = torch.nn.ModuleDict(parts).eval()
    network.load_state_dict(weights(trained.run, row + 1))  # strict
    accuracies = []
    with torch.no_grad():
        for x, y in images_by_hand:
            features = network["neck"](network["backbone"](x))
            scores = network["head"].fc(features[-1] if isinstance(features, tuple) else features)
            accuracies.append(int((scores.argmax(1) == y).sum()) / len(y))
    assert accuracies == trained.matrix[row].tolist()


def test_checkpoints_differ_from_bucket_to_bucket(trained: TrainResult) -> None:
    last = weights(trained.run, 3)
    assert not any(torch.equal(weights(trained.run, k)["head.fc.weight"], last["head.fc.weight"]) for k in (1, 2))


# Reproducing a run


def test_same_seed_gives_the_same_numbers_and_weights(trained: TrainResult, tiny_config: Path, prepared: Path) -> None:
    again = train(tiny_config, device="cpu", work_dir=trained.run.parent, dataset_root=prepared, seed=0)
    assert again.run != trained.run
    assert np.array_equal(again.matrix, trained.matrix)
    assert all(same_weights(again.run, trained.run, k) for k in (1, 2, 3))
    assert (again.run / "eval.json").read_text() == (trained.run / "eval.json").read_text()


def test_other_seed_gives_other_weights(
    trained: TrainResult, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    other = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, seed=1)
    assert other.run.name.endswith("-seed1")
    assert not same_weights(other.run, trained.run, 1)
    assert json.loads((other.run / "environment.json").read_text())["seed"] == 1


def test_config_of_a_run_runs_by_itself_from_anywhere(
    trained: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "alone.py"
    copied.write_text((trained.run / "config.py").read_text())
    monkeypatch.chdir(tmp_path)
    again = train("alone.py", device="cpu")
    assert again.run.parent == trained.run.parent  # the work_dir it was run with
    assert np.array_equal(again.matrix, trained.matrix)
    assert same_weights(again.run, trained.run, 3)
    assert (again.run / "config.py").read_text() == copied.read_text()


# What a config may ask for


def test_streaming_trains_and_tests_on_all_of_each_bucket(prepared: Path, tiny_config: Path, tmp_path: Path) -> None:
    reported = []
    result = train(
        tiny_config,
        device="cpu",
        work_dir=tmp_path,
        dataset_root=prepared,
        overrides=[
            "scenario.evaluation_protocol=streaming",
            "scenario.buckets=[0, 2]",
            "cl_strategy.train_epochs=1",
            "checkpoint_config={'interval': 3}",
        ],
        listener=reported.append,
    )
    epochs = [event for event in reported if isinstance(event, EpochDone)]
    assert [(event.bucket, event.num_samples) for event in epochs] == [("0", 36), ("2", 36)]
    assert [event.accuracies for event in reported if isinstance(event, BucketDone)] == [
        tuple(r) for r in result.matrix
    ]
    assert result.bucket_names == ["0", "2"]
    assert result.matrix.shape == (2, 2)
    assert np.allclose(result.matrix * 36, np.round(result.matrix * 36), atol=1e-9)
    assert list(rundir.checkpoints(result.run)) == [2]  # never by interval, always the last


def feature_run(prepared: Path, config: Path, work_dir: Path, *overrides: str) -> TrainResult:
    return train(config, device="cpu", work_dir=work_dir, dataset_root=prepared, overrides=overrides)


@pytest.mark.parametrize(("interval", "kept"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3])])
def test_checkpoint_interval(
    interval: int, kept: list[int], prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    result = feature_run(prepared, features_config, tmp_path, f"checkpoint_config={{'interval': {interval}}}")
    assert list(rundir.checkpoints(result.run)) == kept


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("{'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 5}}", ("head.fc.weight", "head.fc.bias")),
        ("{'torchmodel': {'type': 'Linear', 'in_features': 5, 'out_features': 3}}", ("weight", "bias")),
    ],
)
def test_linear_nets_on_features_checked_by_hand(
    model: str, names: tuple[str, str], prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    result = feature_run(prepared, features_config, tmp_path, f"model={model}", "cl_strategy.loss=None")
    for row in range(3):
        saved = weights(result.run, row + 1)
        assert tuple(saved) == names
        for column, bucket in enumerate(BUCKETS):
            x, labels = torch.load(prepared / f"training_folder/features/tiny/{bucket}/all.pth", weights_only=True)
            part = json.loads((ratio_split_folder(prepared, 0.3, 0) / bucket / "test_indices.json").read_text())
            scores = x[part] @ saved[names[0]].T + saved[names[1]]
            right = int((scores.argmax(1) == torch.tensor(labels)[part]).sum())
            assert result.matrix[row, column] == right / len(part)
    assert result.matrix[2].mean() > 0.4  # it learns: chance is a third


def test_frozen_parts_stay_fixed(prepared: Path, tiny_config: Path, tmp_path: Path) -> None:
    result = train(
        tiny_config,
        device="cpu",
        work_dir=tmp_path,
        dataset_root=prepared,
        overrides=["model.freeze=['backbone']", "scenario.buckets=['0', '1']", "cl_strategy.train_epochs=1"],
    )
    first, second = weights(result.run, 1), weights(result.run, 2)
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"head.fc.weight", "head.fc.bias"}  # neither weights nor running means of the backbone


@pytest.mark.parametrize("saved_from", ["a run", "a DataParallel"])
def test_load_from_starts_from_weights(
    saved_from: str, trained: TrainResult, prepared: Path, tiny_config: Path, tmp_path: Path
) -> None:
    file = trained.run / "checkpoints/exp_3.pth"
    if saved_from == "a DataParallel":
        wrapped = {f"module.{name}": value for name, value in weights(trained.run, 3).items()}
        file = tmp_path / "wrapped.pth"
        torch.save(wrapped, file)
    result = train(
        tiny_config,
        device="cpu",
        work_dir=tmp_path,
        dataset_root=prepared,
        overrides=[f"load_from={file}", "cl_strategy.train_epochs=1", "scenario.buckets=['2', '1']"],
    )
    written = json.loads((result.run / "eval.json").read_text())
    assert written["untrained"] == trained.matrix[2, [2, 1]].tolist()
    assert result.bucket_names == ["2", "1"]


def test_two_runs_never_share_a_folder(prepared: Path, features_config: Path, tmp_path: Path) -> None:
    runs = {feature_run(prepared, features_config, tmp_path, "cl_strategy.train_epochs=1").run for _ in range(3)}
    assert len(runs) == 3
    assert sorted(tmp_path.iterdir()) == sorted(runs)


# Where the dataset is


@pytest.mark.parametrize(
    ("argument", "in_config", "variable", "expected"),
    [
        ("by_argument", "by_config", "by_variable", "by_argument"),
        (None, "by_config", "by_variable", "by_config"),
        (None, None, "by_variable", "by_variable"),
        (None, None, None, "dataset/CLEAR-10-PUBLIC"),
    ],
)
def test_which_dataset_root_wins(
    argument: str | None,
    in_config: str | None,
    variable: str | None,
    expected: str,
    features_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    if variable:
        monkeypatch.setenv("CLEARCTL_DATASET_ROOT", variable)
    overrides = (f"scenario.dataset_root={in_config}",) if in_config else ()
    opened = open_config(features_config, overrides=overrides, dataset_root=argument)
    assert opened.values["scenario"]["dataset_root"] == str(tmp_path / expected)
    assert opened.values["work_dir"] == str(tmp_path / "work_dirs")
    with pytest.raises(DatasetError, match=re.escape(str(tmp_path / expected))):
        train(features_config, device="cpu", overrides=overrides, dataset_root=argument)
    assert list(tmp_path.iterdir()) == []


# Faults


def test_faults_found_while_building_leave_no_run_folder(
    prepared: Path, tiny_config: Path, features_config: Path, tmp_path: Path
) -> None:
    def attempt(config: Path, *overrides: str) -> None:
        train(config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides)

    with pytest.raises(
        ConfigError,
        match=r"^--set: model.head.num_classes: found 2, but the dataset has 3 classes: set it to 3 or 'dataset'$",
    ):
        attempt(features_config, "model.head.num_classes=2")
    with pytest.raises(ConfigError, match=r"^--set: scenario.train_transform: images need .*ToTensor"):
        attempt(tiny_config, "scenario.train_transform=[]")
    with pytest.raises(ConfigError, match=r"cl_strategy.optimizer: SGD rejects its arguments: Nesterov momentum"):
        attempt(features_config, "cl_strategy.optimizer.nesterov=True")
    with pytest.raises(DatasetError, match=r"^no features 'other'.*\navailable features: tiny$"):
        attempt(features_config, "scenario.feature_type=other")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_image_stops_the_run_with_one_line(workers: int, tiny_config: Path, clear_folder, tmp_path) -> None:
    from clearctl import prepare_avalanche

    root = clear_folder(images=2, size_px=16, buckets=("0", "1"))
    prepare_avalanche(root, test_ratio=0)
    broken = root / read_filelist(filelist_file(root, "1"))[3][0]
    broken.write_bytes(b"no image")
    with pytest.raises(DatasetError) as caught:
        train(
            tiny_config,
            device="cpu",
            work_dir=tmp_path / "runs",
            dataset_root=root,
            overrides=["scenario.evaluation_protocol=streaming", f"data={{'workers': {workers}}}"],
        )
    text = str(caught.value)
    assert text.startswith(f"{broken} (bucket 1) cannot be decoded: ")
    assert "\n" not in text
    assert "Traceback" not in text


def test_work_dir_that_is_a_file(prepared: Path, features_config: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="choose another folder with --work-dir") as caught:
        feature_run(prepared, features_config, tmp_path / "file")
    assert caught.value.exit_code == 5


def test_run_folder_is_reported_to_the_listener(prepared: Path, features_config: Path, tmp_path: Path) -> None:
    reported = []
    result = train(features_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, listener=reported.append)
    assert Message(f"run folder {result.run}") in reported


def test_a_run_of_its_own_is_not_captured_and_says_so_once(
    prepared: Path, features_config: Path, tmp_path: Path
) -> None:
    reported: list[Event] = []
    asked = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "asked",
        dataset_root=prepared,
        overrides=["data.graph=auto"],
        listener=reported.append,
    )
    said = [event.text for event in reported if isinstance(event, Message) and "data.graph" in event.text]
    assert said == ["data.graph='auto' has no effect here: only the steps of a stack of `sweep` are captured"]
    assert asked.matrix.tolist() == feature_run(prepared, features_config, tmp_path).matrix.tolist()
