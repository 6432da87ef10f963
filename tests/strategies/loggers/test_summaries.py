"""What loggers get at the end of a run: the matrix as an image and a table, the summary numbers, the group."""

import io
import json
import logging
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from test_loggers import history, logs_of, no_login

from clearctl import rundir
from clearctl.config.fill import fill
from clearctl.config.settings import Settings
from clearctl.engine.build.config import open_config
from clearctl.engine.build.reporting import build_loggers
from clearctl.engine.run.train import train
from clearctl.progress import Message
from clearctl.report.groups import group_name
from clearctl.report.matrix_image import matrix_image
from clearctl.strategies.loggers.tensorboard import TensorboardLogger
from clearctl.strategies.loggers.wandb import WandBLogger

__all__ = ["no_login"]  # a fixture

BOTH = "loggers=[{'type': 'TensorboardLogger'}, {'type': 'WandBLogger'}]"


@pytest.fixture
def trained(
    prepared: Path, features_config: Path, tmp_path: Path, no_login: None
) -> tuple[Path, dict[str, float], Any, list[str]]:
    """The folder, the numbers and the matrix of a run with both loggers, and the messages of it."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events: list[Any] = []
    result = train(
        features_config,
        device="cpu",
        work_dir=tmp_path / "the runs",
        dataset_root=prepared,
        overrides=[BOTH, "cl_strategy.train_epochs=1"],
        listener=events.append,
    )
    return result.run, result.numbers, result.matrix, [each.text for each in events if isinstance(each, Message)]


def test_what_both_have(trained: tuple[Path, dict[str, float], Any, list[str]]) -> None:
    run, numbers, matrix, said = trained
    values = json.loads((run / "eval.json").read_text())
    read = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "tensors": 0, "scalars": 0})
    read.Reload()

    # TensorBoard
    for name, value in numbers.items():
        [event] = read.Scalars(f"summary/{name}")
        assert (event.step, event.value) == (3, pytest.approx(value))
    assert {"in_domain", "gem_bwt"} <= numbers.keys()
    assert values["clear_metrics"]["in_domain"] == numbers["in_domain"]
    [picture] = read.Images("accuracy_matrix")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        pixels = np.asarray(image.convert("RGB"))
    group = group_name(rundir.read_config(run), rundir.read_environment(run)["config"])
    assert group.startswith("features-")
    assert np.array_equal(pixels, matrix_image(matrix, ["0", "1", "2"], group))
    [table] = read.Tensors("accuracy_matrix/text_summary")
    rows = table.tensor_proto.string_val[0].decode().splitlines()
    assert rows[0] == "| accuracy (%), trained to | 0 | 1 | 2 |"
    assert [row.split(" | ")[1:] for row in rows[2:]] == [
        [f"{100 * value:.1f}" for value in row[:-1]] + [f"{100 * row[-1]:.1f} |"] for row in matrix.tolist()
    ]
    start = read.summary_metadata["_hparams_/session_start_info"]
    content = metadata.parse_session_start_info_plugin_data(start.plugin_data.content)
    assert content.hparams["group"].string_value == group

    # W&B
    (log,) = logs_of(run)
    last = {key: json.loads(value) for key, value in history(log)[-1].items()}
    for name, value in numbers.items():
        assert last[name] == pytest.approx(value)
    (picture_file,) = run.glob("wandb/offline-run-*/files/media/images/accuracy_matrix_image*.png")
    with Image.open(picture_file) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)
    (table_file,) = run.glob("wandb/offline-run-*/files/media/table/accuracy_matrix_*.json")
    content = json.loads(table_file.read_text())
    assert [row[1:] for row in content["data"]] == matrix.tolist()
    assert f"{group}-seed0".encode() in log.read_bytes()  # the name, beside the group

    # What is said at the end
    commands = [text.partition("`")[2].rstrip("`") for text in said if text.startswith("what was logged: ")]
    assert [shlex.split(command) for command in commands] == [
        ["tensorboard", "--logdir", str(run.parent)],
        ["wandb", "sync", str(log.parent)],
    ]


def read_settings(config: Path, *overrides: str, seed: int = 0) -> Settings:
    return fill(open_config(config, overrides=overrides, seed=seed))


def test_a_group_is_what_differs_in_its_seeds_alone(features_config: Path) -> None:
    def name(*overrides: str, seed: int = 0) -> str:
        settings = read_settings(features_config, *overrides, seed=seed)
        return group_name(settings.config.values, str(features_config))

    assert name() == name(seed=7) == name("scenario.seed=3") == name("work_dir=elsewhere")
    assert name().startswith("features-")
    assert name("cl_strategy.train_mb_size=3") != name()
    values = read_settings(features_config).config.values
    assert group_name({**values, "name": "mine"}, "x.py") == name().replace("features-", "mine-")


@pytest.mark.usefixtures("no_login")
def test_a_group_of_the_config_comes_first(features_config: Path, tmp_path: Path) -> None:
    for params, expected in (("{}", "features-"), ("{'group': 'mine'}", "mine")):
        settings = read_settings(features_config, f"loggers=[{{'type': 'WandBLogger', 'params': {params}}}]")
        (logger,) = build_loggers(settings, tmp_path)
        assert isinstance(logger, WandBLogger)
        assert str(logger.group).startswith(expected)
        assert logger.wandb.run.group == logger.group
        logger.close()


def test_a_logger_that_an_earlier_state_was_loaded_into_has_no_group(tmp_path: Path) -> None:
    """Loading deletes the attributes that a state lacks."""
    logger = TensorboardLogger(str(tmp_path), group="any-0123")
    del logger.group
    logger.log_summary({"accuracy": 0.5, "forward_transfer": float("nan")}, np.eye(2), ["0", "1"])
    logger.close()
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert read.Tags()["scalars"] == ["summary/accuracy"]  # NaN is no number that TensorBoard could show
    assert read.Tags()["images"] == ["accuracy_matrix"]
