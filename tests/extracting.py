"""extract-features by several processes, each forked from the server of `killing`, without torchrun."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from killing import CONTEXT, start_forked
from sharing import environment, free_port
from torch import nn

PATIENCE_S = 300.0
BATCH = 4


class Ended:
    """How a process ended: its exit code, what it said, counted (done, total), returned or raised."""

    def __init__(self) -> None:
        self.exit_code = 0
        self.said: list[str] = []
        self.counted: list[tuple[int, int]] = []
        self.result: Any = None
        self.error: str | None = None
        self.text = ""

    def require(self) -> Any:
        """What it returned."""
        assert (self.exit_code, self.error) == (0, None), (self.exit_code, self.error, self.text)
        return self.result


class ChildProcess:
    """A process that makes a `call`."""

    def __init__(self, environ: dict[str, str], threads: int, call: Callable[..., Any], arguments: Any) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        self.process = start_forked(_do, theirs, environ, threads, call, arguments)
        theirs.close()
        self.ended = Ended()
        self.until = time.monotonic() + PATIENCE_S

    def wait_for(self, kind: str) -> None:
        """Take messages until one of the `kind` comes."""
        while self._next() != kind:
            pass

    def go_on(self) -> None:
        """Let it continue that has halted."""
        self.pipe.send(None)

    def end(self) -> Ended:
        """Wait for its end."""
        while self._next() is not None:
            pass
        self.process.join()
        self.ended.exit_code = self.process.exitcode or 0
        return self.ended

    def _next(self) -> str | None:
        ready = wait([self.pipe, self.process.sentinel], max(self.until - time.monotonic(), 0))
        if not ready:
            self.process.kill()
            raise TimeoutError(f"the process did not end in {PATIENCE_S:.0f} s: {vars(self.ended)}")
        try:
            kind, value = self.pipe.recv() if self.pipe.poll() else (None, None)
        except (EOFError, OSError):
            return None
        if kind in ("said", "counted"):
            getattr(self.ended, kind).append(value)
        elif kind == "returned":
            self.ended.result = value
        elif kind == "raised":
            self.ended.error, self.ended.text = value
        return kind


def begin(
    folder: Path,
    processes: int,
    *,
    special: dict[int, dict[str, Any]] | None = None,
    threads: int = 1,
    call: Callable[..., Any] | None = None,
    **arguments: Any,
) -> list[ChildProcess]:
    """The processes of an extraction with `arguments`; those in `special` have others besides."""
    port = free_port() if processes > 1 else 0
    return [
        ChildProcess(
            environment(rank, processes, port) if processes > 1 else {},
            threads,
            call or _extract,
            {"folder": folder, **arguments, **(special or {}).get(rank, {})},
        )
        for rank in range(processes)
    ]


def extract(folder: Path, processes: int, **arguments: Any) -> list[Ended]:
    """An extraction by several processes, all of which have ended; by rank."""
    return [child.end() for child in begin(folder, processes, **arguments)]


# In the process itself


def _do(pipe: Connection, environ: dict[str, str], threads: int, call: Callable[..., Any], arguments: Any) -> None:
    from clearctl.errors import ClearctlError
    from clearctl.progress import Counted, Event

    multiprocessing.set_start_method("fork", force=True)  # of the loader's workers
    os.environ.update(environ)
    torch.set_num_threads(threads)
    halt_at = arguments.pop("halt_at", None)

    def listen(event: Event) -> None:
        if isinstance(event, Counted):
            pipe.send(("counted", (event.done, event.total)))
            if event.done == halt_at:
                pipe.send(("halted", None))
                pipe.recv()
        else:
            pipe.send(("said", event.text))

    try:
        pipe.send(("returned", call(listener=listen, **arguments)))
    except ClearctlError as error:
        pipe.send(("raised", (type(error).__name__, str(error))))
        sys.exit(error.exit_code)


def _extract(folder: Path, listener: Any, config: Path | None = None, **arguments: Any) -> Any:
    from clearctl import extract_features

    return extract_features(
        folder / "clear",
        config=config or folder / "small.py",
        name="small",
        weights="none",
        device="cpu",
        batch_size=BATCH,
        listener=listener,
        **arguments,
    )


class _LittleMemory(nn.Module):
    """The mean of each colour; of the images at once it remembers the numbers, and takes 2 at most if `is_small`."""

    def __init__(self, is_small: bool) -> None:
        super().__init__()
        self.is_small = is_small
        self.sizes: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(x))
        if self.is_small and len(x) > 2:
            raise torch.OutOfMemoryError
        return _mean(x)


def with_little_memory(folder: Path, listener: Any) -> list[int]:
    """Of two processes the second has little memory; returns how many images the network got at once."""
    from clearctl.data.transforms import TransformStages, unchanged
    from clearctl.distributed import world
    from clearctl.features.extract import extract as extract_rows
    from clearctl.features.record import ExtractionRecord

    network = _LittleMemory(is_small=not world.is_first())
    with world.process_group(torch.device("cpu")):
        extract_rows(
            ExtractionRecord(folder / "clear", "means", {}, {}, 3),
            ["0", "1", "2"],
            network,
            TransformStages((), (_pixels,), unchanged),
            caches=(),
            device=torch.device("cpu"),
            precision="fp32",
            compile=False,
            channels_last=True,
            batch_size=BATCH,
            workers=0,
            force=False,
            listener=listener,
        )
    return network.sizes


def _mean(x: torch.Tensor) -> torch.Tensor:
    return x.double().mean((2, 3)).float()


def _pixels(image: Any) -> torch.Tensor:
    from torchvision.transforms.functional import to_tensor

    return to_tensor(image)


def means(path: Path) -> torch.Tensor:
    from PIL import Image

    return _mean(_pixels(Image.open(path).convert("RGB"))[None])[0]
