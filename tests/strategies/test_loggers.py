"""The loggers that a config may name."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clearctl.engine.loop import train
from clearctl.progress import Message
from clearctl.strategies.loggers import InteractiveLogger, TextLogger, WandBLogger

REASON = "W&B has no login here, so this run is kept offline; `wandb sync` uploads it later"


@pytest.fixture
def no_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which nobody has logged in to W&B, in an empty working directory."""
    import wandb

    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("WANDB_CONFIG_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(home / name.lower()))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield
    wandb.teardown()


@pytest.mark.usefixtures("no_login")
def test_wandb_run_is_kept_offline_in_the_run_folder(
    prepared: Path, features_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told = []
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=[
            "loggers=[{'type': 'WandBLogger', 'project_name': 'p', 'run_name': 'r'}]",
            "cl_strategy.train_epochs=1",
        ],
        listener=told.append,
    )
    assert [event for event in told if isinstance(event, Message) and event.warning] == [Message(REASON, warning=True)]
    (folder,) = (result.run / "wandb").glob("offline-run-*")
    (log,) = folder.glob("run-*.wandb")
    content = log.read_bytes()
    for expected in (b"gem_bwt", b"forward_transfer", b"accuracy_matrix", b"Top1_Acc_Exp", b"LinearClsHead"):
        assert expected in content
    assert list((tmp_path / "cwd").iterdir()) == []
    assert capfd.readouterr().out == ""
    import wandb

    assert wandb.run is None  # closed at the end of the run

    plain = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=["cl_strategy.train_epochs=1"],
    )
    one, other = (torch.load(run / "checkpoints/exp_3.pth", weights_only=True) for run in (result.run, plain.run))
    assert all(torch.equal(one[name], other[name]) for name in one)  # a logger changes nothing


@pytest.mark.usefixtures("no_login")
def test_wandb_needs_no_login_and_can_log_what_avalanche_gives(tmp_path: Path) -> None:
    logger = WandBLogger(project_name="p", run_name="r", dir=str(tmp_path))
    try:
        assert logger.offline_reason == REASON
        assert logger.wandb.run.settings.mode == "offline"
        logger.log_single_metric("loss", torch.tensor(0.5), 1)
        logger.log_summary({"gem_bwt": -0.25}, torch.eye(2), ["0", "1"])
        assert logger.wandb.run.summary["gem_bwt"] == -0.25
    finally:
        logger.close()
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1


@pytest.mark.usefixtures("no_login")
def test_mode_that_the_user_chose_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = WandBLogger(project_name="p", run_name="r", dir=str(tmp_path))
    assert logger.offline_reason is None
    logger.close()
    assert list(tmp_path.rglob("offline-run-*")) == []
    monkeypatch.delenv("WANDB_MODE")
    logger = WandBLogger(project_name="p", run_name="r", dir=str(tmp_path), params={"mode": "disabled"})
    assert logger.offline_reason is None
    logger.close()


@pytest.mark.usefixtures("no_login")
@pytest.mark.parametrize("where", ["variable", "netrc"])
def test_a_login_is_found(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearctl.strategies.loggers import _logged_in

    assert not _logged_in()
    if where == "variable":
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    else:
        (tmp_path / "home/.netrc").write_text("machine api.wandb.ai login user password " + "a" * 40 + "\n")
        (tmp_path / "home/.netrc").chmod(0o600)
    assert _logged_in()


def test_interactive_logger_writes_to_stderr_only(
    prepared: Path, features_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(
        features_config,
        device="cpu",
        work_dir=tmp_path,
        dataset_root=prepared,
        overrides=["loggers=[{'type': 'InteractiveLogger'}]", "cl_strategy.train_epochs=1"],
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("-- >> Start of training phase << --") == 3
    assert "Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp002" in captured.err


def test_interactive_logger_follows_stderr(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    import io
    import sys

    logger = InteractiveLogger()
    print("first", file=logger.file, flush=True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as a live display does
    print("second", file=logger.file, flush=True)
    assert sys.stderr.getvalue() == "second\n"
    assert capsys.readouterr().err == "first\n"


def test_text_logger_writes_where_the_config_says(
    prepared: Path, features_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "logs/mine.txt"
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=[f"loggers=[{{'type': 'TextLogger', 'file': {str(file)!r}}}]", "cl_strategy.train_epochs=1"],
    )
    assert file.read_text().count("-- >> End of eval phase << --") == 3
    assert not (result.run / "log.txt").exists()
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_text_logger_appends_and_closes(tmp_path: Path) -> None:
    for word in ("one", "two"):
        logger = TextLogger(str(tmp_path / "log.txt"))
        print(word, file=logger.file)
        logger.close()
        assert logger.file.closed
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"


@pytest.mark.parametrize(("logger", "pattern"), [("CSVLogger", "csv/*.csv"), ("TensorboardLogger", "tensorboard/*")])
def test_other_loggers_write_into_the_run_folder(
    logger: str, pattern: str, prepared: Path, features_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=[f"loggers=[{{'type': {logger!r}}}]", "cl_strategy.train_epochs=1"],
    )
    assert len(list(result.run.glob(pattern))) > 0
    assert list((tmp_path / "cwd").iterdir()) == []
