"""The loggers that a config may name."""

import csv
import logging
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import avalanche.logging
import pytest
import torch
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics, loss_metrics, topk_acc_metrics
from avalanche.training.supervised import Naive
from avalanche.training.templates.base_sgd import PeriodicEval
from halting import until
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_gather import stream
from torch import nn

from clearctl.config.check import check
from clearctl.config.fill import fill
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.config import open_config
from clearctl.engine.build.reporting import build_loggers
from clearctl.engine.run.train import train
from clearctl.errors import RunError
from clearctl.progress import Message
from clearctl.strategies.loading.benchmark import build_benchmark
from clearctl.strategies.loggers.csv import CSVLogger
from clearctl.strategies.loggers.run_logger import truncate_files
from clearctl.strategies.loggers.tensorboard import TensorboardLogger
from clearctl.strategies.loggers.text import InteractiveLogger, TextLogger
from clearctl.strategies.loggers.wandb import WandBLogger
from clearctl.strategies.watching import batch, evaluator
from clearctl.strategies.watching.batch import BatchRecord
from clearctl.strategies.watching.evaluator import Evaluator

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
    reported = []
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=[
            "loggers=[{'type': 'WandBLogger', 'project_name': 'p', 'run_name': 'r'}]",
            "cl_strategy.train_epochs=1",
        ],
        listener=reported.append,
    )
    assert [event for event in reported if isinstance(event, Message) and event.warning] == [
        Message(REASON, warning=True)
    ]
    import wandb

    assert wandb.run is None  # closed at the end of the run
    (log,) = logs_of(result.run)
    content = log.read_bytes()
    for expected in (b"gem_bwt", b"forward_transfer", b"accuracy_matrix", b"Top1_Acc_Exp", b"LinearClsHead"):
        assert expected in content
    assert list((tmp_path / "cwd").iterdir()) == []
    assert capfd.readouterr().out == ""

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
def test_wandb_gets_the_figures_of_metrics_as_images(
    prepared: Path, features_config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    drawing = [{"type": "confusion_matrix_metrics", "stream": True}, {"type": "labels_repartition_metrics"}]
    run = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "runs",
        dataset_root=prepared,
        overrides=["loggers=[{'type': 'WandBLogger'}]", f"metrics={drawing}", "cl_strategy.train_epochs=1"],
    ).run
    logs_of(run)  # when all of them are written
    for name in ("ConfusionMatrix_Stream", "Repartition"):
        images = list(run.glob(f"wandb/offline-run-*/files/media/images/{name}*/**/*.png"))
        assert len(images) >= 3
        with Image.open(images[0]) as image:
            assert min(image.size) > 200
    assert capfd.readouterr().out == ""


@pytest.mark.usefixtures("no_login")
def test_mode_that_the_user_chose_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = WandBLogger(project_name="p", run_name="r", dir=str(tmp_path))
    assert logger.offline_reason is None
    logger.log_single_metric("loss", 0.5, 1)
    logger.close()
    assert list(tmp_path.rglob("offline-run-*")) == []
    monkeypatch.delenv("WANDB_MODE")
    logger = WandBLogger(project_name="p", run_name="r", dir=str(tmp_path), params={"mode": "disabled"})
    assert logger.offline_reason is None
    logger.close()


@pytest.mark.usefixtures("no_login")
@pytest.mark.parametrize("where", ["variable", "netrc"])
def test_a_login_is_found(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clearctl.strategies.loggers.wandb_login import logged_in

    assert not logged_in()
    if where == "variable":
        monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    else:
        (tmp_path / "home/.netrc").write_text("machine api.wandb.ai login user password " + "a" * 40 + "\n")
        (tmp_path / "home/.netrc").chmod(0o600)
    assert logged_in()


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


def naive(loggers: list[Any]) -> tuple[Any, Any]:
    """A strategy from seed 0, with metrics of every kind, and its benchmark of two buckets."""
    torch.manual_seed(0)
    model, record = nn.Linear(8, 3), BatchRecord()
    of_every_kind = dict(minibatch=True, epoch=True, experience=True, stream=True)
    metrics = [
        *accuracy_metrics(**of_every_kind),
        *loss_metrics(**of_every_kind),
        *forgetting_metrics(experience=True, stream=True),
        *topk_acc_metrics(top_k=2, **of_every_kind),
    ]
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        train_mb_size=4,
        eval_mb_size=5,
        train_epochs=2,
        plugins=[record],
        evaluator=Evaluator(record, metrics, loggers),
        eval_every=1,
    )
    return strategy, build_benchmark(stream([21, 13]), None, None)


def learn(strategy: Any, benchmark: Any, bucket: int) -> None:
    strategy.train(benchmark.train_stream[bucket], eval_streams=[benchmark.test_stream])
    strategy.eval(benchmark.test_stream)


def file_loggers(folder: Path, resumed: bool = False) -> list[Any]:
    return [
        TextLogger(str(folder / "log.txt")),
        CSVLogger(str(folder / "csv"), resumed=resumed),
        TensorboardLogger(str(folder / "tensorboard"), resumed=resumed),
    ]


def files_of(loggers: list[Any]) -> list[Path]:
    return [file for logger in loggers for file in logger.files()]


def flushed_sizes(loggers: list[Any]) -> dict[str, int]:
    for logger in loggers:
        logger.flush()
    return {str(file): file.stat().st_size for file in files_of(loggers)}


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard reads there: {tag: [(step, value)]}."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(event.step, event.value) for event in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_loggers_continue_after_a_kill_as_if_nothing_had_been(tmp_path: Path) -> None:
    straight = file_loggers(tmp_path / "straight")
    strategy, benchmark = naive(straight)
    for bucket in (0, 1):
        learn(strategy, benchmark, bucket)

    killed = file_loggers(tmp_path / "killed")
    strategy, benchmark = naive(killed)
    learn(strategy, benchmark, 0)
    sizes = flushed_sizes(killed)
    learn(strategy, benchmark, 1)  # of which the state knows nothing
    assert all(Path(name).stat().st_size > size for name, size in sizes.items())
    (tmp_path / "killed/tensorboard/events.out.tfevents.9999999999.later").write_bytes(b"made after the state")
    event_files = sorted((tmp_path / "killed/tensorboard").iterdir())

    truncate_files(sizes, [*files_of(killed), *event_files])
    resumed = file_loggers(tmp_path / "killed", resumed=True)
    strategy, benchmark = naive(file_loggers(tmp_path / "elsewhere"))
    learn(strategy, benchmark, 0)  # stands for what a state restores
    plain = (type(None), bool, int, float, str, dict)
    for logger, before in zip(resumed, strategy.evaluator.loggers, strict=True):
        vars(logger).update({name: value for name, value in vars(before).items() if isinstance(value, plain)})
    strategy.evaluator.loggers = resumed
    strategy.evaluator.before_training(strategy)  # set-up writes what is there already, and is cut again
    truncate_files({**sizes, **{name: sizes[name] for name in flushed_sizes(resumed)}}, files_of(resumed))
    learn(strategy, benchmark, 1)

    for logger in (*straight, *resumed):
        logger.close()
    for name in ("log.txt", "csv/training_results.csv", "csv/eval_results.csv"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "straight" / name).read_text()
    found, expected = curves(tmp_path / "killed/tensorboard"), curves(tmp_path / "straight/tensorboard")
    assert found == expected
    losses = [step for step, _ in found["Loss_MB/train_phase/train_stream/Task000"]]
    assert losses == list(range(2 * 6 + 2 * 4))
    assert len(list((tmp_path / "killed/tensorboard").iterdir())) == 1


def test_how_often_values_are_handed_over_changes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, period_s in (("seldom", 1e9), ("at each step", 0.0)):
        monkeypatch.setattr(evaluator, "PERIOD_S", period_s)
        monkeypatch.setattr(batch, "PERIOD_S", period_s)
        loggers = file_loggers(tmp_path / name)
        strategy, benchmark = naive(loggers)
        for bucket in (0, 1):
            learn(strategy, benchmark, bucket)
        for logger in loggers:
            logger.close()
    for file in ("log.txt", "csv/training_results.csv", "csv/eval_results.csv"):
        assert (tmp_path / "seldom" / file).read_text() == (tmp_path / "at each step" / file).read_text()
    assert curves(tmp_path / "seldom/tensorboard") == curves(tmp_path / "at each step/tensorboard")


def test_csv_is_avalanches(tmp_path: Path) -> None:
    for logger in (CSVLogger(str(tmp_path / "ours")), avalanche.logging.CSVLogger(str(tmp_path / "theirs"))):
        strategy, benchmark = naive([logger])
        learn(strategy, benchmark, 0)
        logger.close()
    ours, theirs = ((tmp_path / side / "eval_results.csv").read_text() for side in ("ours", "theirs"))
    assert ours == theirs
    assert len(ours.splitlines()) > 2
    rows, others = (_rows(tmp_path / side / "training_results.csv") for side in ("ours", "theirs"))
    for column in ("training_exp", "epoch", "training_accuracy", "training_loss"):
        assert [row[column] for row in rows] == [row[column] for row in others]
    # A row has the test at the end of its epoch, which Avalanche has in the next.
    for column in ("val_accuracy", "val_loss"):
        assert [row[column] for row in rows[:-1]] == [row[column] for row in others[1:]]
    assert len(rows) == 2


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open() as table:
        return list(csv.DictReader(table))


def test_csv_has_no_validation_where_nothing_was_tested(tmp_path: Path) -> None:
    logger = CSVLogger(str(tmp_path))
    strategy, benchmark = naive([logger])
    strategy.eval_every = -1
    for plugin in strategy.plugins:
        if isinstance(plugin, PeriodicEval):
            plugin.eval_every = -1
    learn(strategy, benchmark, 0)
    logger.close()
    rows = _rows(tmp_path / "training_results.csv")
    assert [(row["val_accuracy"], row["val_loss"]) for row in rows] == [("", "")] * 2


def test_csv_starts_again_unless_it_continues(tmp_path: Path) -> None:
    for resumed, rows in ((False, 1), (True, 2), (False, 1)):
        logger = CSVLogger(str(tmp_path), resumed=resumed)
        logger.print_eval_metrics(0, 0, 0.5, 0.5, 0)
        logger.close()
        lines = (tmp_path / "eval_results.csv").read_text().splitlines()
        assert lines == ["eval_exp,training_exp,eval_accuracy,eval_loss,forgetting", *["0,0,0.5000,0.5000,0"] * rows]
    (tmp_path / "eval_results.csv").write_text("")  # killed before its first line
    CSVLogger(str(tmp_path), resumed=True).close()
    assert (tmp_path / "eval_results.csv").read_text().startswith("eval_exp,")


def test_what_was_logged_is_in_the_event_file_once_it_is_flushed(tmp_path: Path) -> None:
    logger = TensorboardLogger(str(tmp_path))
    for step in range(1000):
        logger.log_single_metric("a", step / 2, step)
    sizes = flushed_sizes([logger])
    assert curves(tmp_path)["a"] == [(step, step / 2) for step in range(1000)]
    logger.close()
    assert {str(file): file.stat().st_size for file in logger.files()} == sizes


def test_tensorboard_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    for step in (0, 1):
        logger = TensorboardLogger(str(tmp_path))
        logger.log_single_metric("a", 1.0, step)
        logger.close()
    assert len(logger.files()) == 2
    assert curves(tmp_path)["a"] == [(0, 1.0), (1, 1.0)]


def test_files_are_cut_back_while_they_are_open(tmp_path: Path) -> None:
    logger = TextLogger(str(tmp_path / "log.txt"))
    print("kept", file=logger.file)
    sizes = flushed_sizes([logger])
    print("repeated", file=logger.file)
    (tmp_path / "later.txt").write_text("unlisted")
    truncate_files(sizes, [tmp_path / "later.txt", *logger.files()])
    print("repeated", file=logger.file)
    logger.close()
    assert (tmp_path / "log.txt").read_text() == "kept\nrepeated\n"
    assert not (tmp_path / "later.txt").exists()


@pytest.mark.parametrize(("there", "found"), [(b"12345", "has 5 bytes"), (None, "is missing")])
def test_a_file_that_lost_something_cannot_be_gone_on_from(there: bytes | None, found: str, tmp_path: Path) -> None:
    whole, short, unlisted = tmp_path / "whole", tmp_path / "short", tmp_path / "unlisted"
    whole.write_bytes(b"123456789")
    unlisted.write_bytes(b"1")
    if there is not None:
        short.write_bytes(there)
    with pytest.raises(RunError) as raised:
        truncate_files({str(whole): 4, str(short): 6}, [whole, unlisted])
    expected = f"{short} {found}, but had 6 bytes when the state was saved\nthis state cannot be resumed from"
    assert str(raised.value) == expected
    assert whole.read_bytes() == b"123456789"  # an older state may still be continued from
    assert unlisted.exists()


@pytest.mark.parametrize("given", ["'resumed': True", "'run_id': 'x'"])
def test_only_clearctl_says_that_a_logger_continues(given: str, features_config: Path) -> None:
    name = given.split("'")[1]
    for logger in ("CSVLogger", "TensorboardLogger", "WandBLogger"):
        config = load(features_config, (f"loggers=[{{'type': {logger!r}, {given}}}]",))
        (fault,) = check(config, CATALOGUE)
        assert fault.message.startswith(f"{logger} has no argument {name!r}")


def history(log: Path) -> list[dict[str, str]]:
    """The rows of a .wandb file, {key: JSON}: LevelDB's log format in blocks of 32 KiB, after a header of 7 bytes.

    It may still be written: what is there in part is left out.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, parts, rows = log.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        rest_of_block = 32768 - place % 32768
        if rest_of_block < 7:
            place += rest_of_block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        if place + 7 + length > len(content):
            break
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record, parts = Record.FromString(parts), b""
            if record.HasField("history"):
                rows.append({item.key or item.nested_key[0]: item.value_json for item in record.history.item})
    return rows


def logs_of(folder: Path, *, ended: bool = True) -> list[Path]:
    """The .wandb files there, the oldest first, once wandb's own process has written and closed them if it `ended`."""
    import wandb

    if ended:
        wandb.teardown()
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"), key=lambda log: log.stat().st_mtime)


def steps_of(log: Path) -> list[int]:
    return [int(row["_step"]) for row in history(log)]


@pytest.mark.usefixtures("no_login")
def test_wandb_steps_never_fall_in_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    logger = WandBLogger(dir=str(tmp_path))
    logged: list[int] = []
    original = logger.wandb.log
    strategy, benchmark = naive([logger])
    try:
        logger.wandb.log = lambda data, step: (logged.append(step), original(data, step=step))
        for bucket in (0, 1):
            learn(strategy, benchmark, bucket)
    finally:
        logger.wandb.log = original
    logger.log_summary({"gem_bwt": 0.5}, torch.eye(2), ["0", "1"])
    logger.close()
    assert len(logged) > 100
    assert all(step <= later for step, later in pairwise(logged))
    (log,) = logs_of(tmp_path)
    rows = history(log)
    assert [int(row["_step"]) for row in rows] == list(range(2 * 6 + 2 * 4 + 1))  # the last for what the end gives
    for name in ("Loss_MB/train_phase/train_stream/Task000", "Topk_2_Acc_MB/train_phase/train_stream/Task000"):
        assert [name in row for row in rows] == [True] * 20 + [False]
    assert {"gem_bwt", "accuracy_matrix", "Top1_Acc_Stream/eval_phase/test_stream/Task000"} <= rows[-1].keys()
    assert [int(row["TrainingExperience"]) for row in rows if "TrainingExperience" in row] == [0, 1]
    assert "Tried to log to step" not in capfd.readouterr().err


@pytest.mark.usefixtures("no_login")
def test_wandb_continues_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features_config: Path) -> None:
    settings = fill(open_config(features_config, overrides=("loggers=[{'type': 'WandBLogger'}]",)))
    for steps, resumed in (((0, 1, 2, 3), False), ((2, 3, 4), True)):
        if resumed:
            monkeypatch.setenv("WANDB_RUN_ID", "another")
        (logger,) = build_loggers(settings, tmp_path, resumed=resumed, environment={"wandb_run": "mine"})
        assert logger.run_id == "mine"
        assert logger.wandb.run.settings.resume == ("allow" if resumed else None)
        for step in steps:
            logger.log_single_metric("a", step / 2, step)
        logger.close()
    first, second = logs_of(tmp_path)
    assert first.name == second.name == "run-mine.wandb"
    assert steps_of(first) == [0, 1, 2, 3]
    assert [(row["_step"], row["a"]) for row in history(second)] == [("2", "1"), ("3", "1.5"), ("4", "2")]


@pytest.mark.usefixtures("no_login")
def test_wandb_is_given_only_the_steps_it_lacks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As on a run that W&B has online: it says where it stands."""
    logger = WandBLogger(dir=str(tmp_path), run_id="mine", resumed=True)
    logger.wandb.run._starting_step = 4
    logger.step, logger.exp_count = 1, 1
    for step in (1, 2, 3, 4, 5):
        logger.log_single_metric("a", float(step), step)
        logger.log_single_metric(f"b{step}", float(step), step)
        if step == 2:
            logger.after_training_exp(None, [])
    logger.after_training_exp(None, [])
    logger.close()
    (log,) = logs_of(tmp_path)
    rows = [{name: value for name, value in row.items() if name[0] != "_" or name == "_step"} for row in history(log)]
    assert rows == [
        {"_step": "4", "a": "4", "b3": "3", "b4": "4"},  # what step 3 has may be only a part of it
        {"_step": "5", "a": "5", "b5": "5", "TrainingExperience": "2"},
    ]
    assert "Tried to log to step" not in capfd.readouterr().err


@pytest.mark.usefixtures("no_login")
@pytest.mark.parametrize(
    ("params", "variable", "given", "expected"),
    [
        ({"id": "of-config"}, "of-shell", "given", "of-config"),
        (None, "of-shell", "given", "of-shell"),
        (None, None, "given", "given"),
    ],
)
def test_wandb_id_of_a_first_start(
    params: Any, variable: Any, given: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_RUN_ID", variable)
    logger = WandBLogger(dir=str(tmp_path), params=params, run_id=given)
    logger.close()
    assert logger.run_id == expected
    assert {type(value) for name, value in vars(logger).items() if name != "wandb"} <= {str, int, bool, type(None)}


@pytest.mark.slow
@pytest.mark.usefixtures("no_login")
def test_a_killed_run_has_kept_what_it_gave_to_wandb(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from clearctl.strategies.loggers.wandb import WandBLogger\n"
        "logger = WandBLogger(dir=sys.argv[1])\n"
        "for step in range(100):\n"
        "    logger.log_single_metric('a', step / 2, step)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=tmp_path, stdin=subprocess.PIPE)
    # W&B's own process writes once a second, whatever the other does.
    until(lambda: any(98 in steps_of(log) for log in logs_of(tmp_path, ended=False)), process)
    process.kill()
    process.communicate()
    (log,) = logs_of(tmp_path)
    assert steps_of(log) == list(range(99))  # the last row may still have been added to
