"""The GPU that a command uses is torch's current one while it lasts; its random states and its record follow it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rehearsal.gpu import RehearsalGpu
from rehearsal.test_runs import stopped
from test_strategies import SMALL

from clearctl import atomic, resume, rundir, train
from clearctl.distributed.randomness import random_states, set_random_states
from clearctl.engine.machine import current_device, resolve_device
from clearctl.errors import CapabilityError
from clearctl.progress import Event, Message

pytest_plugins = ("blobs",)

SECOND = "cuda:1"


def test_a_device_has_its_index() -> None:
    with RehearsalGpu() as gpu:
        for name in ("auto", "cuda", "cuda:0"):
            assert resolve_device(name) == torch.device("cuda", 0)
        assert resolve_device(SECOND) == torch.device("cuda", 1)
        with pytest.raises(CapabilityError, match="--device cuda:2: this machine has 2 GPUs"):
            resolve_device("cuda:2")
        with current_device(torch.device("cuda", 1)):
            assert resolve_device("cuda") == resolve_device("auto") == torch.device("cuda", 1)
        assert gpu.touched == {1}


def test_the_program_keeps_its_current_gpu() -> None:
    def fail_on_the_second() -> None:
        with current_device(torch.device("cuda", 1)):
            assert torch.cuda.current_device() == 1
            raise ZeroDivisionError

    with RehearsalGpu() as gpu:
        with pytest.raises(ZeroDivisionError):
            fail_on_the_second()
        assert torch.cuda.current_device() == 0
        assert gpu.touched == {1}  # to go back makes no context on the first
        with current_device(torch.device("cpu")):
            assert torch.cuda.current_device() == 0


def test_a_run_without_an_index_is_on_the_first(write_config: Callable[..., Path]) -> None:
    with RehearsalGpu() as gpu:
        run = train(write_config("naive", **SMALL["naive"]), device="cuda").run
    assert gpu.touched == {0}
    found = rundir.read_environment(run)
    assert found["device"] == "cuda:0"
    assert found["gpu"]["memory_bytes"] == 8 << 30
    assert found["gpu"]["capability"] == "9.0"
    assert found["gpu"]["cuda"] == torch.version.cuda


def test_the_random_state_is_that_of_the_current_gpu() -> None:
    with RehearsalGpu():
        torch.manual_seed(5)
        with current_device(torch.device("cuda", 1)):
            torch.rand(3, device="cuda")
            saved = random_states()
            expected = torch.rand(3, device="cuda").cpu()
        assert len(saved["cuda"]) == 1
        set_random_states(saved)  # on a machine whose only GPU is the first
        assert torch.equal(torch.rand(3, device="cuda").cpu(), expected)


@pytest.mark.parametrize("index", [0, 1])
def test_states_of_all_gpus_as_they_were_written_before(index: int) -> None:
    with RehearsalGpu():
        torch.manual_seed(5)
        with current_device(torch.device("cuda", index)):
            torch.rand(3, device="cuda")
            saved = {**random_states(), "cuda": torch.cuda.get_rng_state_all()}
            expected = torch.rand(3, device="cuda").cpu()
            set_random_states(saved)
            assert torch.equal(torch.rand(3, device="cuda").cpu(), expected)


def test_a_run_stays_on_its_gpu_and_moves_when_it_is_told(
    write_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And one that an earlier clearctl began on `cuda` has not moved; another driver is reported."""
    config = write_config("replay", **SMALL["replay"])
    with RehearsalGpu():
        run = stopped(config, SECOND, tmp_path / "second", (), monkeypatch)
        shutil.copytree(run, tmp_path / "moved")
    said: list[Event] = []
    with RehearsalGpu() as gpu:
        resume(run, listener=said.append)
    assert gpu.touched == {1}
    assert not [one for one in said if isinstance(one, Message) and one.warning]

    run = tmp_path / "moved"
    environment = rundir.read_environment(run)
    environment |= {"device": "cuda", "gpu": {**environment["gpu"], "driver": "1.0", "cudnn": "1.2.3"}}
    atomic.write_json(rundir.environment_file(run), environment)
    with RehearsalGpu() as gpu:
        monkeypatch.setattr("clearctl.engine.gpu.driver_versions", lambda: ("2.0", "13.0"))
        resume(run, device="cuda", listener=said.append)
    assert gpu.touched == {0}
    warnings = [one.text for one in said if isinstance(one, Message) and one.warning]
    changes = [text.split(" since ")[0] for text in warnings]
    assert changes[0] == "the GPU's driver was 1.0 and is 2.0"
    assert changes[1].startswith("cuDNN was 1.2.3 and is ")
    assert len(changes) == 2
    assert rundir.read_environment(run)["resumed"][0]["moved"] == changes
