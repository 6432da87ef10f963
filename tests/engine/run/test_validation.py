"""A run with a validation part: what is measured on it, what watches it, and a run that is tested on it alone."""

import csv
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import KILLED, run_process
from runs import METRICS, WATCHED, require_same, straight

from clearctl import rundir, train
from clearctl.data.stream import read_stream
from clearctl.engine.build.preflight import check_config
from clearctl.errors import ConfigError
from clearctl.selection import Selection

pytest_plugins = ("blobs",)

HELD_OUT = "scenario.validation=0.2"
ON_IT = "scenario.evaluate_on=validation"


def run(config: Path, prepared: Path, work_dir: Path, *overrides: str, **given: Any) -> Any:
    return train(config, device="cpu", work_dir=work_dir, dataset_root=prepared, overrides=[*overrides], **given)


def on_validation(metrics: dict[str, Any]) -> dict[str, Any]:
    """The metrics of tests on the test part, under the names that those on the validation part have."""
    return {name.replace("test_stream", "valid_stream"): value for name, value in metrics.items()}


@pytest.fixture(scope="module")
def both(features_config: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A run that is tested on both parts, and the same one tested on the validation part alone."""
    place, all_metrics = tmp_path_factory.mktemp("runs"), (HELD_OUT, *WATCHED)
    return run(features_config, prepared, place, *all_metrics), run(
        features_config, prepared, place, *all_metrics, ON_IT
    )


def test_a_validation_part_is_measured_as_a_test_part_is(both: tuple[Any, Any]) -> None:
    with_both, alone = both
    found = rundir.read_eval(with_both.run)["validation"]
    assert found["accuracy_matrix"] == alone.matrix.tolist() != with_both.matrix.tolist()
    tested = rundir.read_eval(alone.run)["test"]
    for bucket, metrics in found["test"].items():
        assert metrics == on_validation({name: v for name, v in tested[bucket].items() if "test_stream" in name})
        assert any("StreamForgetting" in name for name in metrics) or bucket == "0"
    assert not any("valid_stream" in name for part in rundir.read_eval(with_both.run)["test"].values() for name in part)
    assert {name: found["clear_metrics"][name] for name in ("accuracy", "in_domain")} == {
        name: alone.clear_metrics[name] for name in ("accuracy", "in_domain")
    }
    weights = [torch.load(rundir.checkpoint_file(each.run, 3), weights_only=True) for each in both]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_logs_keep_the_two_parts_apart(both: tuple[Any, Any]) -> None:
    with_both, alone = both
    tables = [
        list(csv.DictReader((each.run / "csv" / name).open()))
        for each, name in (
            (with_both, "validation_results.csv"),
            (alone, "eval_results.csv"),
            (with_both, "eval_results.csv"),
        )
    ]
    assert tables[0] == tables[1] != tables[2]
    lines = [line for line in rundir.read_metrics(with_both.run) if line["event"] == "validation"]
    assert [line["accuracy"] for line in lines] == alone.matrix.ravel().tolist()
    assert "valid_stream" in (with_both.run / "log.txt").read_text()


def test_forgetting_of_the_test_part_is_not_mixed_with_that_of_the_validation_part(both: tuple[Any, Any]) -> None:
    found = rundir.read_eval(both[0].run)["test"]["2"]
    forgetting = [value for name, value in found.items() if name.startswith("ExperienceForgetting")]
    matrix = both[0].matrix
    assert forgetting == pytest.approx([matrix[0, 0] - matrix[2, 0], matrix[1, 1] - matrix[2, 1]])


def test_no_test_image_is_needed_where_the_validation_part_is_tested(
    tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    """Images and lists of the test parts are garbage, and neither the dry check nor the run reads one."""
    root = tmp_path / "clear"
    shutil.copytree(prepared, root)
    whole = read_stream(root, protocol="iid", seed=0)
    for bucket in whole.buckets:
        for path in bucket.test.paths:
            (root / path).unlink()
    for file in root.glob("training_folder/testset_ratio_0.3/*/*/test*"):
        file.write_text("garbage")
    overrides = [HELD_OUT, ON_IT, "cl_strategy.train_epochs=1"]
    assert check_config(tiny_config, dataset_root=root, overrides=overrides).faults == []
    result = run(tiny_config, root, tmp_path / "runs", *overrides)
    held_out = read_stream(
        root, protocol="iid", seed=0, selection=Selection(validation=0.2), evaluate_on="validation"
    ).buckets
    counts = [len(bucket.test) for bucket in held_out]
    right = result.matrix * counts
    assert np.allclose(right, right.round())
    assert result.on_training_images == frozenset()


def test_in_streaming_what_is_held_out_is_not_tested_on_either(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    streaming = "scenario.evaluation_protocol=streaming"
    run(features_config, prepared, tmp_path, HELD_OUT, streaming, listener=lambda event: said.append(str(event)))
    assert any("images held out by scenario.validation are not tested on either" in text for text in said)


@pytest.mark.parametrize("metric", ["validation_loss", "validation_accuracy"])
def test_the_best_epoch_is_that_of_the_validation_part(
    metric: str, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    """As found out from runs of 1, 2, ... epochs, which are the beginnings of the longest."""
    plugins = f"cl_strategy.plugins=[{dict(type='RestoreBestEpoch', metric=metric)!r}]"
    rate = "cl_strategy.optimizer.lr=3.0"
    watched = ["scenario.buckets='0'", HELD_OUT, rate, f"metrics={METRICS!r}"]
    values, weights = [], []
    for epochs in range(1, 5):
        each = run(features_config, prepared, tmp_path, *watched, f"cl_strategy.train_epochs={epochs}")
        held_out = rundir.read_eval(each.run)["validation"]
        loss = held_out["test"]["0"]["Loss_Exp/eval_phase/valid_stream/Task000/Exp000"]
        values.append(-loss if metric == "validation_loss" else held_out["accuracy_matrix"][0][0])
        weights.append(torch.load(rundir.checkpoint_file(each.run, 1), weights_only=True))
    best = run(features_config, prepared, tmp_path, *watched, "cl_strategy.train_epochs=4", plugins)
    restored = torch.load(rundir.checkpoint_file(best.run, 1), weights_only=True)
    wanted = weights[int(np.argmax(values))]
    assert all(torch.equal(restored[name], wanted[name]) for name in wanted)


def test_a_plateau_of_the_validation_loss_lowers_the_rate(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    scheduler = (
        f"cl_strategy.scheduler={dict(type='ReduceLROnPlateau', patience=0, factor=0.5, watch='validation_loss')!r}"
    )
    shared = ["scenario.buckets='0'", HELD_OUT, "cl_strategy.optimizer.lr=3.0", "cl_strategy.train_epochs=6"]
    losses = [f"metrics={METRICS!r}", "cl_strategy.eval_every=1"]
    result = run(features_config, prepared, tmp_path, *shared, *losses, scheduler, "loggers=[{'type': 'TextLogger'}]")
    text = (result.run / "log.txt").read_text()
    name = "Loss_Stream/eval_phase/valid_stream/Task000"
    values = [float(value) for value in re.findall(rf"{name} = ([0-9.]+)", text)][1:7]
    rates = [line["lr"] for line in rundir.read_metrics(result.run) if line["event"] == "epoch"]
    expected, best, rate = [], float("inf"), 3.0
    for value in values:
        expected.append(rate)
        rate, best = (rate, value) if value < best * (1 - 1e-4) else (rate * 0.5, best)
    assert rates == expected
    assert len(set(rates)) > 1


def test_early_stopping_watches_the_validation_part_also_where_that_is_tested(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    plugin = dict(type="EarlyStoppingPlugin", patience=1, val_stream_name="valid_stream")
    overrides = [
        HELD_OUT,
        "metrics=[{'type': 'accuracy_metrics', 'stream': True}]",
        "cl_strategy.eval_every=1",
        "cl_strategy.train_epochs=6",
        f"cl_strategy.plugins=[{plugin!r}]",
    ]
    assert check_config(features_config, dataset_root=prepared, overrides=overrides).faults == []
    ran = [run(features_config, prepared, tmp_path, *overrides, *more) for more in ([], [ON_IT])]
    epochs = [[line["epoch"] for line in rundir.read_metrics(each.run) if line["event"] == "epoch"] for each in ran]
    assert epochs[0] == epochs[1]
    assert len(epochs[0]) < 18
    assert rundir.read_eval(ran[0].run)["validation"]["accuracy_matrix"] == ran[1].matrix.tolist()


def test_a_killed_run_with_a_validation_part_resumes_exactly(write_config: Callable[..., Path], tmp_path: Path) -> None:
    plugin = "cl_strategy.plugins=[{'type': 'RestoreBestEpoch', 'metric': 'validation_loss'}]"
    given = {"overrides": (HELD_OUT, plugin, *WATCHED)}
    config = write_config("naive", train_epochs=3)
    whole = straight(config, tmp_path / "straight", saving="steps", **given).run
    arguments = {"device": "cpu", "work_dir": tmp_path / "killed", **given}
    assert run_process(config, arguments=arguments, saving="steps", at=("step", 1, 1, 3)).exit_code == KILLED
    [stopped] = (tmp_path / "killed").iterdir()
    run_process(stopped, saving="steps").require()
    require_same(stopped, whole)


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["scenario.validation=2"], "scenario.validation: found 2, expected a fraction such as 0.1"),
        ([ON_IT], "scenario.evaluate_on: no validation images are held out: give scenario.validation=0.1"),
        (
            [HELD_OUT, "scenario.evaluate_on=train"],
            "scenario.evaluate_on: found 'train', expected 'test' or 'validation'",
        ),
        (
            ["scenario.validation=0.95"],
            "scenario.validation: 0.95 of each class is held out, which leaves 9 without training images",
        ),
        (
            ["cl_strategy.plugins=[{'type': 'RestoreBestEpoch', 'metric': 'validation_loss'}]"],
            "cl_strategy.plugins.0.metric: found 'validation_loss', but no validation images are held out",
        ),
        (
            ["cl_strategy.scheduler={'type': 'ReduceLROnPlateau', 'watch': 'validation_loss'}"],
            "cl_strategy.scheduler.watch: found 'validation_loss', but no validation images are held out",
        ),
        (
            [HELD_OUT, "cl_strategy.scheduler={'type': 'StepLR', 'step_size': 1, 'watch': 'validation_loss'}"],
            "cl_strategy.scheduler.watch: StepLR watches no loss: only ReduceLROnPlateau takes this key",
        ),
    ],
)
def test_what_cannot_be_validated_is_a_fault(
    overrides: list[str], fault: str, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    found = check_config(features_config, dataset_root=prepared, overrides=overrides).faults
    assert len(found) == 1, found
    assert fault in found[0]
    with pytest.raises(ConfigError, match=re.escape(fault)):
        run(features_config, prepared, tmp_path, *overrides)
