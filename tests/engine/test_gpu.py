"""What is recorded of a GPU."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from clearctl.engine import gpu
from clearctl.engine.gpu import changes_of_gpu, describe_gpu, free_bytes, share_gpu

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++")
# NVML's functions, as its header declares them.
LIBRARY = """
#include <string.h>
int nvmlInit_v2(void) { return INIT; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *version, unsigned int length) { strncpy(version, "580.159.04", length); return 0; }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13020; return CUDA; }
"""


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
@pytest.mark.parametrize(
    ("init", "cuda", "expected"),
    [(0, 0, ("580.159.04", "13.2")), (0, 999, ("580.159.04", None)), (9, 0, (None, None))],
)
def test_versions_that_nvml_says(
    init: int, cuda: int, expected: tuple[str | None, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nvml.c").write_text(LIBRARY)
    library = tmp_path / "libnvml.so"
    sizes = [f"-DINIT={init}", f"-DCUDA={cuda}"]
    subprocess.run(
        [str(COMPILER), "-x", "c", "-shared", "-fPIC", *sizes, "-o", str(library), str(tmp_path / "nvml.c")], check=True
    )
    monkeypatch.setattr(gpu, "NVML", str(library))
    assert gpu.driver_versions() == expected


def test_a_library_without_the_functions_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "NVML", "libc.so.6")
    assert gpu.driver_versions() == (None, None)
    monkeypatch.setattr(gpu, "NVML", "libnot-there.so.1")
    assert gpu.driver_versions() == (None, None)


@pytest.mark.parametrize(("number", "expected"), [(92600, "9.26.0"), (91002, "9.10.2"), (8907, "8.9.7"), (None, None)])
def test_cudnns_number(number: int | None, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: number)
    assert gpu._cudnn() == expected


def test_nothing_of_a_gpu_on_the_cpu() -> None:
    assert describe_gpu(torch.device("cpu")) is None


def test_only_what_both_know_can_have_changed() -> None:
    before = {"driver": "1", "cuda": None, "cudnn": "9.1.0", "memory_bytes": 5}
    now = {"driver": "2", "cuda": "13.0", "cudnn": "9.1.0", "memory_bytes": 6}
    assert list(changes_of_gpu(before, now)) == ["the GPU's driver was 1 and is 2"]
    assert list(changes_of_gpu(None, now)) == list(changes_of_gpu(before, None)) == []


def test_runs_of_a_sweep_plan_with_their_part_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_runs", 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (90, 100))
    assert free_bytes(torch.device("cuda", 0)) == 90
    share_gpu(4)
    assert free_bytes(torch.device("cuda", 0)) == 22
