"""Testing checkpoints again: the same numbers as in training, and whatever is no checkpoint of the model is refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sharing import environment, free_port

from clearctl.engine.run.evaluate import evaluate
from clearctl.engine.run.train import TrainResult
from clearctl.errors import ConfigError, RunError, UsageError
from clearctl.progress import Event, Message


def test_run_gives_the_recorded_matrix(trained: TrainResult) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")}
    found = evaluate(trained.run, device="cpu")
    assert np.array_equal(found.matrix, trained.matrix)
    assert found.bucket_names == ["0", "1", "2"]
    assert found.checkpoints == [trained.run / f"checkpoints/exp_{k}.pth" for k in (1, 2, 3)]
    assert found.clear_metrics == trained.clear_metrics
    assert found.gem_metrics == {"gem_bwt": trained.gem_metrics["gem_bwt"]}  # FWT needs the untrained model
    assert {path: path.stat().st_mtime_ns for path in trained.run.rglob("*")} == before  # writes nothing


def test_config_with_a_checkpoint_gives_one_row(trained: TrainResult, tiny_config: Path, prepared: Path) -> None:
    file = trained.run / "checkpoints/exp_2.pth"
    found = evaluate(tiny_config, checkpoint=file, device="cpu", dataset_root=prepared)
    assert found.rows == [trained.matrix[1].tolist()]
    assert found.checkpoints == [file]
    assert found.matrix is None
    assert found.clear_metrics == {}


def test_overrides_choose_what_is_tested(trained: TrainResult) -> None:
    file = trained.run / "checkpoints/exp_1.pth"
    found = evaluate(trained.run, checkpoint=file, device="cpu", overrides=["scenario.buckets=['2']"])
    assert (found.bucket_names, found.rows) == (["2"], [[trained.matrix[0, 2]]])


def test_run_that_lacks_a_checkpoint_has_rows_but_no_matrix(trained: TrainResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained.run, run)
    (run / "checkpoints/exp_1.pth").unlink()
    found = evaluate(run, device="cpu")
    assert found.rows == trained.matrix[1:].tolist()
    assert found.matrix is None


@pytest.mark.parametrize("wrapped", ["module.", "state_dict", "model"])
def test_weights_as_other_tools_write_them(wrapped: str, trained: TrainResult, tmp_path: Path) -> None:
    weights = torch.load(trained.run / "checkpoints/exp_3.pth", weights_only=True)
    if wrapped == "module.":
        content = {f"module.{name}": value for name, value in weights.items()}
    else:
        content = {wrapped: weights, "meta": {"epoch": 3}}
    torch.save(content, tmp_path / "other.pth")
    found = evaluate(trained.run, checkpoint=tmp_path / "other.pth", device="cpu")
    assert found.rows == [trained.matrix[2].tolist()]


# What is refused


def refusal(target: Path, checkpoint: Path | None = None) -> str:
    with pytest.raises(RunError) as caught:
        evaluate(target, checkpoint=checkpoint, device="cpu")
    assert caught.value.exit_code == 5
    return str(caught.value)


def test_checkpoint_of_another_model_names_what_differs(trained: TrainResult, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    weights = torch.load(trained.run / "checkpoints/exp_1.pth", weights_only=True)
    bias = weights.pop("head.fc.bias")
    torch.save(weights, file)
    assert refusal(trained.run, file) == f"{file} does not match this model: missing: head.fc.bias"
    torch.save({**weights, "head.fc.bias": bias, "head.scale": bias}, file)
    assert refusal(trained.run, file) == f"{file} does not match this model: unexpected: head.scale"
    torch.save({**weights, "head.fc.bias": torch.zeros(4)}, file)
    assert refusal(trained.run, file) == f"{file} does not match this model: other shape: head.fc.bias [4] for [3]"


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_truncated_checkpoint(kept: float, trained: TrainResult, tmp_path: Path) -> None:
    whole = (trained.run / "checkpoints/exp_1.pth").read_bytes()
    file = tmp_path / "short.pth"
    file.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    text = refusal(trained.run, file)
    if kept in (0, 1):
        assert text.startswith(f"{file} is not a checkpoint, or damaged: ")
        assert "\n" not in text
    else:
        why = "its zip archive is incomplete, as after an interrupted copy or download"
        assert text == f"{file} is damaged: {why}\ncopy or download it again"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not a checkpoint at all\n", "torch cannot read it"),
        (b"hello", "torch cannot read it"),  # pickle finds an empty memo there: torch raises a KeyError of a number
        (b"<html>404</html>", "it is a web page: download the file again"),
    ],
)
def test_file_that_is_no_checkpoint(content: bytes, reason: str, trained: TrainResult, tmp_path: Path) -> None:
    file = tmp_path / "page.pth"
    file.write_bytes(content)
    assert refusal(trained.run, file) == f"{file} is not a checkpoint, or damaged: {reason}"


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("zipped", [False, True])
def test_pickled_code_is_refused_and_not_run(zipped: bool, trained: TrainResult, tmp_path: Path) -> None:
    file, marker = tmp_path / "evil.pth", tmp_path / "ran"
    content = {"state_dict": {"head.fc.bias": torch.zeros(3)}, "hook": Payload(marker)}
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    assert refusal(trained.run, file) == f"{file} is refused: it contains more than weights, a pickled posix.system"
    assert not marker.exists()
    # The file does what it says where pickled code is let run, so the refusal is what kept the marker away.
    torch.load(file, weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("content", [{}, [1, 2], {"epoch": 3, "lr": 0.1}, torch.zeros(3)])
def test_file_without_weights(content: object, trained: TrainResult, tmp_path: Path) -> None:
    file = tmp_path / "empty.pth"
    torch.save(content, file)
    assert refusal(trained.run, file) == f"{file} contains no weights: expected a state dict {{name: tensor}}"


@pytest.fixture
def run(trained: TrainResult, tmp_path: Path) -> Path:
    """A copy of a run, to be damaged."""
    return shutil.copytree(trained.run, tmp_path / "run")


def flip(file: Path) -> None:
    """One bit in a weight, in the middle of the file's longest one."""
    weights = torch.load(file, weights_only=True)
    longest = max(weights.values(), key=torch.numel).numpy().tobytes()
    data = bytearray(file.read_bytes())
    data[data.index(longest) + len(longest) // 2] ^= 1
    file.write_bytes(data)


def test_a_flipped_bit_in_a_checkpoint_is_refused_by_its_sum(run: Path) -> None:
    file = run / "checkpoints/exp_2.pth"
    flip(file)
    first, second = refusal(run).split("\n")
    assert first.startswith(f"{file} is damaged: its sha256 is ")
    assert first.endswith(" by SHA256SUMS")
    assert second == "restore it from a copy; if it was changed on purpose, remove its line from SHA256SUMS"


def test_a_flipped_bit_in_a_checkpoint_of_an_older_run(run: Path) -> None:
    (run / "checkpoints/SHA256SUMS").unlink()
    assert evaluate(run, device="cpu").matrix is not None
    file = run / "checkpoints/exp_2.pth"
    flip(file)
    assert re.fullmatch(
        rf"{file} is damaged: its entry archive/data/\d+ has a wrong CRC-32\ncopy or download it again",
        refusal(run),
    )


def test_another_whole_checkpoint_in_place_of_one(run: Path) -> None:
    shutil.copy(run / "checkpoints/exp_1.pth", run / "checkpoints/exp_3.pth")
    assert refusal(run).startswith(f"{run}/checkpoints/exp_3.pth is damaged: its sha256 is ")


def test_a_checkpoint_without_a_line(run: Path, trained: TrainResult) -> None:
    sums = run / "checkpoints/SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))
    assert np.array_equal(evaluate(run, device="cpu").matrix, trained.matrix)


def test_a_run_that_diverged_is_tested_with_a_warning(run: Path) -> None:
    file = run / "checkpoints/exp_3.pth"
    weights = torch.load(file, weights_only=True)
    weights["head.fc.bias"][1] = torch.nan
    torch.save(weights, file)
    (run / "checkpoints/SHA256SUMS").unlink()
    said: list[Event] = []
    assert evaluate(run, device="cpu", listener=said.append).matrix is not None
    assert [event.text for event in said if isinstance(event, Message) and event.warning] == [
        f"{file} has weights that are not finite: head.fc.bias; the run diverged, its accuracies are at chance level"
    ]
    text = f"{file} has weights that are not finite: head.fc.bias\n"
    assert refusal(run, file).startswith(text)
    with pytest.raises(RunError, match="not finite: head.fc.bias"):
        evaluate(run, checkpoints=run / "checkpoints", device="cpu")


@pytest.mark.parametrize("change", [torch.Tensor.long, torch.Tensor.to_sparse, lambda bias: bias.to("meta")])
def test_weights_of_another_kind_are_refused_with_their_key(change: Callable, run: Path, tmp_path: Path) -> None:
    weights = torch.load(run / "checkpoints/exp_3.pth", weights_only=True)
    weights["head.fc.bias"] = change(weights["head.fc.bias"])
    torch.save(weights, tmp_path / "other.pth")
    assert ": head.fc.bias (" in refusal(run, tmp_path / "other.pth")


def test_checkpoint_that_is_not_there(trained: TrainResult, tmp_path: Path) -> None:
    assert refusal(trained.run, tmp_path / "none.pth") == f"no checkpoint at {tmp_path / 'none.pth'}"


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is not a run folder: it has no config.py and environment.json"


def test_run_without_checkpoints(trained: TrainResult, tmp_path: Path) -> None:
    for name in ("config.py", "environment.json"):
        shutil.copy(trained.run / name, tmp_path)
    assert refusal(tmp_path) == f"{tmp_path} has no checkpoints yet: expected checkpoints/exp_<k>.pth"


def test_config_without_a_checkpoint(tiny_config: Path, prepared: Path) -> None:
    with pytest.raises(UsageError, match="give the weights to test with --checkpoint FILE"):
        evaluate(tiny_config, dataset_root=prepared)


def test_untrained_accuracies_leave_the_generators_alone(
    trained: TrainResult, tiny_config: Path, prepared: Path
) -> None:
    import random

    from clearctl.config.fill import fill
    from clearctl.distributed.randomness import seed_everything
    from clearctl.engine.build.config import open_config
    from clearctl.engine.build.model import build_model
    from clearctl.engine.build.stream import build_stream
    from clearctl.engine.build.transforms import build_transforms
    from clearctl.engine.run.evaluate import model_accuracies
    from clearctl.strategies.loading.benchmark import build_benchmark

    settings = fill(open_config(tiny_config, dataset_root=prepared))
    seed_everything(0)
    stream = build_stream(settings.scenario, settings.data)
    model = build_model(settings, stream, lambda event: None)
    benchmark = build_benchmark(stream, *build_transforms(settings))
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    found = model_accuracies(model, benchmark.test_stream, torch.device("cpu"), 7, workers=0)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states
    assert model.training
    assert found == json.loads((trained.run / "eval.json").read_text())["untrained"]


def test_a_strategy_that_several_processes_cannot_share_is_not_tested_by_them(
    prepared: Path, tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "other.py"
    config.write_text(f"_base_ = {[str(tiny_config)]!r}\ncl_strategy = dict(type='CWRStar')\n")
    with pytest.raises(ConfigError, match="CWRStar is not tested with several processes"):
        evaluate(config, checkpoint=tmp_path / "any.pth", dataset_root=prepared)
