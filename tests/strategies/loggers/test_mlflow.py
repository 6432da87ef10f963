"""The MLflow logger: what it logs where, and that a resumed run goes on in its MLflow run without logging twice."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_loggers import learn, naive

from clearctl.engine.run.train import train
from clearctl.errors import CapabilityError, RunError
from clearctl.progress import Message
from clearctl.report.matrix_image import matrix_image

mlflow = pytest.importorskip("mlflow")

from clearctl.strategies.loggers.mlflow import MLflowLogger  # noqa: E402

EPOCHS = "cl_strategy.train_epochs=1"


@pytest.fixture(autouse=True)
def _no_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server in the environment, and an empty current folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for all tests: to make one takes a second."""
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def histories(uri: str, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """{metric: [(step, value)]}."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    names = client.get_run(run_id).data.metrics
    return {name: [(each.step, each.value) for each in client.get_metric_history(run_id, name)] for name in names}


def test_a_run_logs_into_its_folder(
    prepared: Path, features_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[Any] = []
    overrides = ["loggers=[{'type': 'MLflowLogger', 'tags': {'why': 'a test'}}]", EPOCHS]
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "the runs",
        dataset_root=prepared,
        overrides=overrides,
        listener=said.append,
    )
    assert list((tmp_path / "cwd").iterdir()) == []
    out, err = capfd.readouterr()
    assert out == ""
    assert "INFO" not in err  # of the tables of its database
    uri = f"sqlite:///{result.run}/mlflow/mlflow.db"
    run_id = json.loads((result.run / "environment.json").read_text())["mlflow_run"]
    logged = mlflow.MlflowClient(tracking_uri=uri).get_run(run_id)
    assert logged.info.status == "FINISHED"
    group = logged.data.tags["group"]
    assert group.startswith("features-")
    assert logged.data.tags["why"] == "a test"
    assert logged.info.run_name == f"{group}-seed0"
    assert logged.data.params["cl_strategy.type"] == "Naive"
    assert logged.data.params["seed"] == "0"
    for name, value in result.numbers.items():
        assert logged.data.metrics[f"summary/{name}"] == pytest.approx(value)
    assert len(histories(uri, run_id)["Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp002"]) == 3
    artifacts = result.run / "mlflow/artifacts" / run_id / "artifacts"
    with Image.open(artifacts / "accuracy_matrix.png") as image:
        assert np.array_equal(np.asarray(image), matrix_image(result.matrix, result.bucket_names, group))
    lines = (artifacts / "accuracy_matrix.csv").read_text().splitlines()
    assert [list(map(float, line.split(",")[1:])) for line in lines[1:]] == result.matrix.tolist()
    [command] = [each.text for each in said if isinstance(each, Message) and "mlflow ui" in each.text]
    assert shlex.split(command.partition("`")[2].rstrip("`")) == ["mlflow", "ui", "--backend-store-uri", uri]


def test_a_store_of_the_environment_is_used(
    prepared: Path, features_config: Path, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    overrides = [f"loggers=[{{'type': 'MLflowLogger', 'artifact_location': {str(tmp_path / 'a')!r}}}]", EPOCHS]
    run = train(
        features_config, device="cpu", work_dir=tmp_path / "runs", dataset_root=prepared, overrides=overrides
    ).run
    assert not (run / "mlflow").exists()
    assert "summary/accuracy" in histories(store, json.loads((run / "environment.json").read_text())["mlflow_run"])


def test_a_resumed_run_goes_on_where_its_state_was_taken(store: str) -> None:
    straight = MLflowLogger("straight", tracking_uri=store)
    strategy, benchmark = naive([straight])
    for bucket in (0, 1):
        learn(strategy, benchmark, bucket)
    straight.close()

    killed = MLflowLogger("killed", tracking_uri=store)
    strategy, benchmark = naive([killed])
    learn(strategy, benchmark, 0)
    killed.flush()
    plain = (dict, str, int, float, type(None))
    state = {name: dict(value) if isinstance(value, dict) else value for name, value in vars(killed).items()}
    state = {name: value for name, value in state.items() if isinstance(value, plain)}
    learn(strategy, benchmark, 1)  # of which the state knows nothing
    killed.flush()

    resumed = MLflowLogger("killed", tracking_uri=store, run_id=killed.run_id, resumed=True)
    assert resumed.run_id == killed.run_id
    strategy, benchmark = naive([resumed])
    learn(strategy, benchmark, 0)  # stands for what a state restores
    vars(resumed).update(state)
    learn(strategy, benchmark, 1)
    resumed.log_summary({"accuracy": 0.5}, torch.eye(2).double().numpy(), ["0", "1"])
    resumed.close()

    found, expected = histories(store, resumed.run_id), histories(store, straight.run_id)
    assert found.pop("summary/accuracy") == [(2, 0.5)]
    assert found == expected
    steps = [step for step, _ in found["Loss_MB/train_phase/train_stream/Task000"]]
    assert steps == list(range(2 * 6 + 2 * 4))
    client = mlflow.MlflowClient(tracking_uri=store)
    assert client.get_run(straight.run_id).info.status == "KILLED"  # it could be resumed
    assert client.get_run(resumed.run_id).info.status == "FINISHED"


def test_a_run_in_a_folder_that_was_moved_writes_its_artifacts_there(tmp_path: Path) -> None:
    """Also where the path of the old folder has characters that a URI escapes."""
    before, after = tmp_path / "old place/mlflow", tmp_path / "new/mlflow"

    def logger(folder: Path, **more: Any) -> MLflowLogger:
        place = (folder / "artifacts").as_uri()
        return MLflowLogger(tracking_uri=f"sqlite:///{folder}/mlflow.db", artifact_location=place, **more)

    before.mkdir(parents=True)
    begun = logger(before)
    begun.close()
    early = before / "artifacts" / begun.run_id / "artifacts/early.txt"
    early.parent.mkdir(parents=True)
    early.touch()  # not by MLflow, which keeps a run's place as long as the process lives
    before.parent.rename(after.parent)

    resumed = logger(after, run_id=begun.run_id, resumed=True)
    resumed.log_summary({"accuracy": 0.5}, torch.eye(2).double().numpy(), ["0", "1"])
    resumed.close()
    assert not before.parent.exists()
    artifacts = after / "artifacts" / begun.run_id / "artifacts"
    assert {file.name for file in artifacts.iterdir()} == {"early.txt", "accuracy_matrix.csv", "accuracy_matrix.png"}
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{after}/mlflow.db")
    assert client.get_run(begun.run_id).info.artifact_uri == artifacts.as_uri()
    assert client.get_experiment_by_name("clearctl").artifact_location == (after / "artifacts").as_uri()


def test_values_that_are_no_numbers(store: str) -> None:
    logger = MLflowLogger("values", tracking_uri=store)
    logger.log_single_metric("tensor", torch.tensor(0.5), 1)
    logger.log_single_metric("text", "no number", 1)
    logger.log_single_metric("many", torch.zeros(3), 1)
    logger.log_single_metric("nan", float("nan"), 1)
    logger.log_single_metric("nan", float("nan"), 1)
    logger.log_single_metric("a name? (b)", 1, 1)
    logger.close()
    found = histories(store, logger.run_id)
    assert found.keys() == {"tensor", "nan", "a name_ _b_"}
    assert found["tensor"] == [(1, 0.5)]
    assert len(found["nan"]) == 1


def test_a_run_that_mlflow_lacks(store: str) -> None:
    with pytest.raises(RunError, match="cannot continue its run 0123") as raised:
        MLflowLogger("values", tracking_uri=store, run_id="0123", resumed=True)
    assert "resume with --accept-changes" in str(raised.value)


@pytest.mark.parametrize("package", ["mlflow", "sqlalchemy"])
def test_without_a_package(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        CapabilityError,
        match=rf"needs {package}, which is not installed\ninstall it with `pip install 'clearctl\[mlflow\]'`",
    ):
        MLflowLogger()
