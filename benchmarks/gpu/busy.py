"""How busy the GPU is: by nvidia-smi beside a run, by torch's profiler around a piece of work."""

import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.gpu.check import Check

FIELDS = ("utilization.gpu", "memory.used", "power.draw")
PERIOD_MS = 50


class Busy:
    """A context in which nvidia-smi is polled every 50 ms; if there is none, nothing is measured."""

    def __init__(self, check: Check) -> None:
        self.measured = check.on_gpu and shutil.which("nvidia-smi") is not None
        self.index = check.device.partition(":")[2] or "0"
        self.lines: list[tuple[float, str]] = []

    def __enter__(self) -> "Busy":
        if self.measured:
            query = [f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits", f"--loop-ms={PERIOD_MS}"]
            command = ["nvidia-smi", f"--id={self.index}", *query]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.measured:
            self.process.terminate()
            self.process.wait()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.time(), line))

    def between(self, start: float, end: float) -> dict[str, Any]:
        """The means of {"percent", "memory_mb", "watt"}, each None without samples, and how many "samples" there are.

        "percent" is the share of time in which a kernel ran.
        """
        return means([line for at, line in self.lines if start <= at <= end])


def means(lines: list[str]) -> dict[str, Any]:
    """Of lines as nvidia-smi prints them."""
    rows = [line.split(",") for line in lines if line.count(",") == len(FIELDS) - 1]
    found: dict[str, Any] = {"samples": len(rows)}
    for column, name in enumerate(("percent", "memory_mb", "watt")):
        values = [float(row[column]) for row in rows if re.fullmatch(r"\s*[0-9.]+\s*", row[column])]
        found[name] = round(statistics.mean(values), 1) if values else None
    return found


def kernel_share(check: Check, work: Callable[[], object]) -> dict[str, Any]:
    """Seconds of `work`, the share of them with a kernel on the GPU, and the ten kernels that took longest, in ms."""
    from torch.profiler import ProfilerActivity, profile

    check.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        started = time.perf_counter()
        work()
        check.synchronize()
        seconds = time.perf_counter() - started

    def us(event: Any) -> float:
        return getattr(event, "self_device_time_total", 0) or 0.0

    events = sorted(profiler.key_averages(), key=us, reverse=True)
    return {
        "seconds": round(seconds, 3),
        "share": round(sum(map(us, events)) / 1e6 / seconds, 3),
        "kernels": sum(event.count for event in events if us(event)),
        "longest": [[event.key[:80], round(us(event) / 1e3, 2), event.count] for event in events[:10]],
    }
