"""What a machine ran out of is distinguished from a fault in clearctl, and named with what to do."""

import errno
import multiprocessing.synchronize
import os
import resource

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from clearctl.shortage import is_out_of_memory, shortage

GPU = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.05 GiB is free."
)


def raised(work) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 any
        work()
    return caught.value


def too_many_files() -> None:
    """With a limit of this process itself."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 1, before[1]))
    opened = []
    try:
        while True:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for handle in opened:
            os.close(handle)


def out_of_gpu_memory() -> None:
    raise torch.OutOfMemoryError(GPU)


def damaged_code() -> None:
    raise RuntimeError(
        "backend='inductor' raised:\nImportError: /tmp/torchinductor_me/pq/cpqq.main.so: cannot read file data\n\n"
        "Set TORCHDYNAMO_VERBOSE=1 for the full Dynamo stack trace"
    )


def no_room_for_a_library() -> None:
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object")


def full_disk() -> None:
    with open("/dev/full", "wb", buffering=0) as file:
        file.write(b"x")


WORKS = {
    "memory": (lambda: torch.empty(1 << 55), "out of memory: ", "use smaller batches"),
    "python": (lambda: bytearray(1 << 60), "out of memory: MemoryError", "use smaller batches"),
    "library": (no_room_for_a_library, "out of memory: libtorch_cpu.so: failed to map segment", "stop other processes"),
    "compiled": (
        damaged_code,
        "the cache of torch.compile is damaged, perhaps by a kill while it was written: ImportError: /tmp/torch",
        "remove the parent of the file's folder",
    ),
    "gpu": (
        out_of_gpu_memory,
        "out of GPU memory: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "bf16",
    ),
    "files": (too_many_files, "too many open files: /dev/null: Too many open files", "ulimit -n"),
    "disk": (full_disk, "the disk is full: ", "free some space"),
}


@pytest.mark.parametrize("kind", WORKS)
def test_what_ran_out_is_named_with_what_to_do(kind):
    work, what, remedy = WORKS[kind]
    first, second = str(shortage(raised(work))).splitlines()
    assert first.startswith(what)
    assert remedy in second


class Failing(Dataset):
    def __init__(self, work) -> None:
        self.work = work

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        self.work()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*WORKS, "killed"])
def test_what_ran_out_in_a_worker_process_is_named_in_two_lines(kind):
    work, what, remedy = WORKS.get(
        kind, (lambda: os.kill(os.getpid(), 9), "a data loader's worker process", "fewer worker processes")
    )
    text = str(shortage(raised(lambda: list(DataLoader(Failing(work), num_workers=1)))))
    assert text.startswith(what.partition(":")[0])
    assert len(text.splitlines()) == 2
    assert "Traceback" not in text
    assert remedy in text


@pytest.mark.parametrize("kind", WORKS)
def test_a_smaller_computation_may_fit_only_where_memory_did_not_suffice(kind):
    assert is_out_of_memory(raised(WORKS[kind][0])) == (kind in ("memory", "python", "gpu"))


def test_semaphores_need_shared_memory(monkeypatch):
    def missing(*arguments: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(multiprocessing.synchronize._multiprocessing, "SemLock", missing)
    text = str(shortage(raised(multiprocessing.Lock)))
    assert text.startswith("shared memory (/dev/shm) is full or cannot be used")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("out of resource: shared memory, Required: 131072"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        PermissionError(errno.EACCES, "Permission denied", "/x"),
        ValueError("Too many open files"),
        KeyError("x"),
        ImportError("cannot import name 'x' from 'y'"),
    ],
)
def test_other_errors_are_left_alone(error):
    assert shortage(error) is None
