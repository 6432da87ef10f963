"""A frozen network applied to batches on a device: memory format, precision, and what to do when memory runs out."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import nn

from clearctl.data.pixels import without_waiting
from clearctl.errors import CapabilityError
from clearctl.models.compiling import compile_fault
from clearctl.models.precision import DTYPES
from clearctl.progress import Listener, Message
from clearctl.shortage import is_out_of_memory

# torch.compile counts what it compiled for one forward method, be it for one network or for many in the same process.
_MOST_COMPILED = 256


class Forward:
    """Maps pixels as the loader gives them to features `[B, D] float32` on the device.

    `prepare` is done to the batch on the device first, and with `channels_last` network and batch are in that memory
    format. A batch that does not fit into memory is halved, this one and
    all that follow.

    With `compile_for`, a batch size, the network is compiled for batches of that size, its weights as constants: they
    must not change afterwards. Smaller batches are filled up with zeros, so that nothing is compiled twice; where
    memory makes them half as large, it is compiled again. `compiling_s` are the seconds that this took.
    """

    def __init__(
        self,
        network: nn.Module,
        prepare: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
        precision: str,
        listener: Listener,
        *,
        compile_for: int | None = None,
        channels_last: bool = True,
    ) -> None:
        self.dtype = DTYPES[precision]
        self.channels_last = channels_last
        network = network.to(device).eval()
        self.network = network.to(memory_format=torch.channels_last) if channels_last else network
        self.prepare = prepare
        self.device = device
        self.listener = listener
        self.most = compile_for
        self.compiling_s = 0.0
        self._compiled = torch.compile(self.network, dynamic=False) if compile_for else None
        self._compiled_for: int | None = None
        self._under_way: deque[torch.cuda.Event] = deque()

    @torch.inference_mode()
    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """`pixels [B, 3, H, W]` → `[B, D] float32`.

        Raises CapabilityError if not even one image fits, and for a network that cannot be compiled.
        """
        while True:
            parts = torch.split(pixels, self.most or len(pixels))
            try:
                with _exact_convolutions(self.device):
                    features = torch.cat([self._once(part) for part in parts])
                self._wait_for_earlier()
                return features
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._halve(len(parts[0]) if self._compiled is None else self.most or 1)

    def _once(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._compiled is None or self.most is None:
            return self._through(self.network, pixels)
        if self._compiled_for != self.most:
            self._compile(self._compiled, pixels, self.most)
        return self._through(self._compiled, _padded(pixels, self.most))[: len(pixels)]

    def _through(self, network: Callable[..., torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
        x = self.prepare(without_waiting(pixels, self.device))
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = network(x)
        return features.float()

    def _compile(self, network: Callable[..., torch.Tensor], pixels: torch.Tensor, size: int) -> None:
        """Compile for batches of `size` images like `pixels`, by a pass of which nothing is kept."""
        from torch._dynamo import config as tracing
        from torch._inductor import config as generating

        self.listener(Message(f"compiling the network for {size} images at once: this takes a while"))
        started = time.perf_counter()
        try:
            # As torch.compile's options, freezing would be ignored.
            with generating.patch(freezing=True), tracing.patch(recompile_limit=_MOST_COMPILED):
                self._through(network, _padded(pixels, size))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise CapabilityError(
                f"this network cannot be compiled: {compile_fault(error)}\nleave --compile out"
            ) from error
        finally:
            self.compiling_s += time.perf_counter() - started
        self._compiled_for = size

    def _wait_for_earlier(self) -> None:
        """Wait until the device is at most one batch behind: this waits for its work, not for images."""
        if self.device.type == "cuda":
            self._under_way.append(torch.cuda.current_stream(self.device).record_event())
            if len(self._under_way) > 1:
                self._under_way.popleft().synchronize()

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise CapabilityError(
                f"{self.device} has too little memory for a single image\nuse --device cpu, or a smaller --arch"
            )
        self.most = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        text = f"{self.device} has too little memory for {tried} images at once: continuing with {self.most}"
        self.listener(Message(f"{text} (--batch-size)", warning=True))


def _padded(pixels: torch.Tensor, size: int) -> torch.Tensor:
    """`pixels [B, ...]` and zeros to `[size, ...]`."""
    return F.pad(pixels, (0,) * (2 * pixels.ndim - 1) + (size - len(pixels),))


def _exact_convolutions(device: torch.device) -> AbstractContextManager[None]:
    """A context without TF32 and with fixed algorithms in CUDA convolutions: the same images give the same bytes."""
    if device.type != "cuda":
        return nullcontext()
    context: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return context
