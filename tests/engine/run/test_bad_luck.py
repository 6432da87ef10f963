"""What happens to a run's folder, its dataset, its machine and its clock while it trains, and how the run ends."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs import require_same

from clearctl import rundir
from clearctl.engine.run.loop import how_to_resume
from clearctl.engine.run.resume import resume
from clearctl.engine.run.train import TrainResult, train
from clearctl.errors import CapabilityError, ClearctlError, DatasetError, RunError, Stopped
from clearctl.progress import EpochDone, Event, Message

Act = Callable[[Path], object]


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "dataset"))


class Training:
    """A run in which something happens after an epoch of a bucket in the middle."""

    def __init__(self, config: Path, dataset: Path, work_dir: Path) -> None:
        self.config, self.dataset, self.work_dir = config, dataset, work_dir
        self.run = Path()

    def go(self, act: Act, *overrides: str) -> TrainResult:
        epochs = []

        def listen(event: Event) -> None:
            if isinstance(event, Message) and event.text.startswith("run folder "):
                self.run = Path(event.text.removeprefix("run folder "))
            if isinstance(event, EpochDone):
                epochs.append(event)
                if len(epochs) == 3:
                    act(self.run)

        return train(
            self.config,
            dataset_root=self.dataset,
            device="cpu",
            work_dir=self.work_dir,
            overrides=overrides,
            listener=listen,
        )

    def fails(self, error: type[ClearctlError], act: Act, *overrides: str) -> str:
        """The message, which has two lines."""
        with pytest.raises(error) as caught:
            self.go(act, *overrides)
        first, second = str(caught.value).splitlines()
        assert "Traceback" not in first
        return f"{first}\n{second}"


@pytest.fixture
def training(tiny_config: Path, dataset: Path, tmp_path: Path) -> Training:
    return Training(tiny_config, dataset, tmp_path / "runs")


# The run folder


def test_a_run_folder_that_is_removed(training: Training) -> None:
    text = training.fails(RunError, shutil.rmtree)
    assert text == f"{training.run} was removed or renamed during the run\nstart the run again"


def test_a_run_folder_that_is_renamed(training: Training) -> None:
    text = training.fails(RunError, lambda run: run.rename(run.with_name("another")))
    assert "removed or renamed" in text


@pytest.mark.parametrize("name", ["metrics.jsonl", "eval.json", "accuracy_matrix.csv"])
def test_a_file_that_becomes_a_folder(training: Training, name: str) -> None:
    def become_folder(run: Path) -> None:
        (run / name).unlink()
        (run / name).mkdir()

    text = training.fails(RunError, become_folder)
    assert text.startswith(f"{training.run / name} cannot be written: Is a directory\n")
    assert how_to_resume(training.run) in text


# The dataset


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_are_removed(training: Training, workers: int) -> None:
    def remove(run: Path) -> None:
        shutil.rmtree(training.dataset / "labeled_images")

    text = training.fails(DatasetError, remove, "data.cache=off", f"data.workers={workers}")
    assert "labeled_images" in text
    assert how_to_resume(training.run) in text


@pytest.mark.parametrize("cache", ["ram", "disk"])
def test_a_dataset_that_is_removed_after_it_was_read(training: Training, cache: str, trained: TrainResult) -> None:
    result = training.go(lambda run: shutil.rmtree(training.dataset), f"data.cache={cache}")
    assert result.matrix.tolist() == trained.matrix.tolist()


# The machine


def test_memory_that_runs_out(training: Training) -> None:
    text = training.fails(CapabilityError, lambda run: torch.empty(1 << 55))
    assert text.startswith("out of memory: ")
    assert how_to_resume(training.run) in text


def test_a_gpu_whose_memory_is_full(training: Training) -> None:
    def fill(run: Path) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."
        )

    text = training.fails(CapabilityError, fill)
    assert text.startswith("out of GPU memory: CUDA out of memory. Tried to allocate 2.00 GiB.\nuse smaller")


# The clock


def test_a_clock_that_goes_backwards(training: Training, trained: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at it is an hour before the last."""
    looks = [time.time()]

    def earlier() -> float:
        looks.append(looks[-1] - 3600)
        return looks[-1]

    strftime, localtime = time.strftime, time.localtime
    monkeypatch.setattr(time, "time", earlier)
    monkeypatch.setattr(time, "strftime", lambda form, at=None: strftime(form, at or localtime(earlier())))
    with pytest.raises(Stopped):
        training.go(lambda run: os.kill(os.getpid(), signal.SIGTERM))
    resume(training.run)
    require_same(training.run, trained.run)
    assert not rundir.state_folder(training.run).exists()
