"""What a machine ran out of or has damaged, by the exceptions of Python and torch: no fault in clearctl."""

import errno
import re
from traceback import walk_tb

from clearctl.errors import CapabilityError

_FEWER_WORKERS = "use fewer worker processes (data.workers, --workers; 0 needs none)"
_GPU_MEMORY = r"CUDA out of memory|HIP out of memory|CU(DNN|BLAS)_STATUS_ALLOC_FAILED|OutOfMemoryError"
_MEMORY = r"MemoryError|DefaultCPUAllocator|[Cc]annot allocate memory|can't allocate memory|not enough memory"
_SMALLER_BATCHES = "use smaller batches (cl_strategy.train_mb_size and eval_mb_size, --batch-size)"

# (what the exception says, what ran out, what to do); the first that fits counts. A loader's worker process hands its
# exception on as text alone, so the texts are looked for and not the classes.
_KINDS = (
    (
        _GPU_MEMORY,
        "the memory of the GPU is full",
        f"{_SMALLER_BATCHES}, precision='bf16', or a GPU that no other process uses",
    ),
    (
        r"shared memory(\(shm\)| object)|out of shared memory|killed by signal: Bus error"
        r"|unable to mmap \d+ bytes from file </?torch_",
        "shared memory (/dev/shm) is full or cannot be used",
        f"{_FEWER_WORKERS}, or allow more of it (docker run --shm-size=8g)",
    ),
    (
        r"DataLoader worker .*(killed|exited)",
        "a worker process that reads images was killed",
        f"memory may be full: {_FEWER_WORKERS}",
    ),
    (
        f"{_MEMORY}|failed to map segment",
        "memory is full",
        f"{_SMALLER_BATCHES} or data.cache='disk', or end other processes",
    ),
    (r"Too many open files", "too many files are open", f"allow more of them (ulimit -n), or {_FEWER_WORKERS}"),
    (
        r"can't start new thread|Resource temporarily unavailable",
        "no further process or thread can be started",
        f"allow more of them (ulimit -u), or {_FEWER_WORKERS}",
    ),
    (
        r"(?s)inductor.*(file too short|cannot read file data|invalid ELF header)",
        "code that torch.compile keeps is damaged, perhaps by a kill while it was written",
        "remove the folder above that of the file, which is torch.compile's cache, and run this again",
    ),
    (r"No space left on device|[Dd]isk quota exceeded", "the disk is full", "make room and run this again"),
)
_CODES = {
    errno.ENOMEM: "Cannot allocate memory",
    errno.EMFILE: "Too many open files",
    errno.ENFILE: "Too many open files",
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
}


def shortage(error: BaseException) -> CapabilityError | None:
    """What this machine ran out of where `error` says so, with what to do about it; None if it says something else."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError):
        text = f"{text} {_CODES.get(error.errno or 0, '')}"
        if _raised_in_semaphore(error):
            text = "out of shared memory"
    elif not isinstance(error, RuntimeError | MemoryError | ImportError):
        return None
    for pattern, what, remedy in _KINDS:
        if re.search(pattern, text):
            return CapabilityError(f"{what}: {_detail(error)}\n{remedy}")
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the CPU or of a GPU did not suffice for a computation; a smaller one may fit."""
    # On a CPU torch raises a plain RuntimeError of its allocator.
    text = f"{type(error).__name__}: {error}"
    return isinstance(error, RuntimeError | MemoryError) and re.search(f"{_GPU_MEMORY}|{_MEMORY}", text) is not None


def _raised_in_semaphore(error: BaseException) -> bool:
    """Whether a semaphore between processes could not be made, which without /dev/shm is a file that is not there."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return any(file.endswith("multiprocessing/synchronize.py") for file in frames)


def _detail(error: BaseException) -> str:
    """The sentence that says how much, or of which file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
    if not lines:
        return type(error).__name__
    # The text of a worker's exception ends with what was raised; of others the first line says it.
    last = lines[-1] if lines[0].startswith("Caught ") else lines[0]
    return last.partition(" GPU ")[0] if "Tried to allocate" in last else last
