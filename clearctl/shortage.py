"""Exceptions of Python and torch that mean a shortage or damage on this machine, not a bug in clearctl."""

import errno
import re
from traceback import walk_tb

from clearctl.errors import CapabilityError

_FEWER_WORKERS = "use fewer worker processes (data.workers, --workers; 0 starts none)"
_GPU_MEMORY = r"CUDA out of memory|HIP out of memory|CU(DNN|BLAS)_STATUS_ALLOC_FAILED|OutOfMemoryError"
_MEMORY = r"MemoryError|DefaultCPUAllocator|[Cc]annot allocate memory|can't allocate memory|not enough memory"
_SMALLER_BATCHES = "use smaller batches (cl_strategy.train_mb_size and eval_mb_size, --batch-size)"

# (pattern of the exception's text, what ran out, what to do); the first match counts. A loader's worker process passes
# its exception on as text only, so this matches texts, not classes.
_KINDS = (
    (
        _GPU_MEMORY,
        "out of GPU memory",
        f"{_SMALLER_BATCHES}, precision='bf16', or a GPU without other processes",
    ),
    (
        r"shared memory(\(shm\)| object)|out of shared memory|killed by signal: Bus error"
        r"|unable to mmap \d+ bytes from file </?torch_",
        "shared memory (/dev/shm) is full or cannot be used",
        f"{_FEWER_WORKERS}, or make it larger (docker run --shm-size=8g)",
    ),
    (
        r"DataLoader worker .*(killed|exited)",
        "a data loader's worker process was killed",
        f"it may have run out of memory: {_FEWER_WORKERS}",
    ),
    (
        f"{_MEMORY}|failed to map segment",
        "out of memory",
        f"{_SMALLER_BATCHES} or data.cache='disk', or stop other processes",
    ),
    (r"Too many open files", "too many open files", f"raise the limit (ulimit -n), or {_FEWER_WORKERS}"),
    (
        r"can't start new thread|Resource temporarily unavailable",
        "cannot start another process or thread",
        f"raise the limit (ulimit -u), or {_FEWER_WORKERS}",
    ),
    (
        r"(?s)inductor.*(file too short|cannot read file data|invalid ELF header)",
        "the cache of torch.compile is damaged, perhaps by a kill while it was written",
        "remove the parent of the file's folder, which is that cache, and run this again",
    ),
    (r"No space left on device|[Dd]isk quota exceeded", "the disk is full", "free some space and run this again"),
)
_CODES = {
    errno.ENOMEM: "Cannot allocate memory",
    errno.EMFILE: "Too many open files",
    errno.ENFILE: "Too many open files",
    errno.ENOSPC: "No space left on device",
    errno.EDQUOT: "Disk quota exceeded",
}


def shortage(error: BaseException) -> CapabilityError | None:
    """A CapabilityError that says what ran out and what to do, if `error` means that; otherwise None."""
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
    """Whether CPU or GPU memory did not suffice for a computation; a smaller one may fit."""
    # On a CPU torch's allocator raises a plain RuntimeError.
    text = f"{type(error).__name__}: {error}"
    return isinstance(error, RuntimeError | MemoryError) and re.search(f"{_GPU_MEMORY}|{_MEMORY}", text) is not None


def _raised_in_semaphore(error: BaseException) -> bool:
    """Whether creating a semaphore between processes failed: without /dev/shm this is a FileNotFoundError."""
    frames = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
    return any(file.endswith("multiprocessing/synchronize.py") for file in frames)


def _detail(error: BaseException) -> str:
    """The sentence with the size or the file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.endswith("raised:")]
    if not lines:
        return type(error).__name__
    # A worker's exception text ends with the original error; for others the first line has it.
    last = lines[-1] if lines[0].startswith("Caught ") else lines[0]
    return last.partition(" GPU ")[0] if "Tried to allocate" in last else last
