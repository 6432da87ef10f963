"""What is said of GPUs, and of none."""

from typing import Any

import pytest

from clearctl.doctor.device import check_device
from clearctl.doctor.imports import Imported

GPU = {"name": "H100", "memory_bytes": 85_000_000_000, "capability": "9.0", "cudnn": "9.26.0", "fault": None}
NONE = {"cuda": "13.0", "driver": None, "driver_cuda": None, "gpus": [], "threads": 2}


def found(**facts: Any) -> Imported:
    return Imported("torch", facts={**NONE, **facts})


def test_gpus_each_on_a_line() -> None:
    torch = found(gpus=[GPU, {**GPU, "fault": "no kernel image"}], driver="580.1", driver_cuda="13.0")
    first, second, cuda = check_device(torch)
    assert (first.name, first.state, first.found) == ("cuda:0", "ok", "H100, 85.0 GB, capability 9.0")
    assert (second.name, second.state) == ("cuda:1", "warning")
    assert "no kernel image" in second.found
    assert cuda.found == "CUDA 13.0, cuDNN 9.26.0, driver 580.1 (for CUDA 13.0)"


@pytest.mark.parametrize(
    ("torch", "variable", "state", "said"),
    [
        (found(), None, "ok", "no NVIDIA driver found"),
        (found(driver="470.1", driver_cuda="11.4"), None, "warning", "CUDA 13.0 finds no GPU with driver 470.1"),
        (found(driver="580.1", cuda=None), None, "warning", "built without CUDA"),
        (found(driver="580.1", driver_cuda="13.0"), "", "ok", "$CUDA_VISIBLE_DEVICES is ''"),
        (Imported("torch", error="broken"), None, "warning", "torch cannot be imported"),
        (Imported("torch", facts_error="OSError: x"), None, "warning", "OSError: x"),
    ],
)
def test_no_gpu(torch: Imported, variable: str | None, state: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    (check,) = check_device(torch)
    assert check.state == state
    assert said in check.found
