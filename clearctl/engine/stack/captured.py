"""A training step captured in CUDA graphs: Python launches it with one call instead of one for each operation."""

from collections import Counter
from collections.abc import Hashable, Sequence

import torch

from clearctl.config.settings import DataSettings
from clearctl.engine.stack.step import Step
from clearctl.errors import CapabilityError
from clearctl.wording import first_line

WARM_UP_STEPS = 3  # as in torch.cuda.make_graphed_callables


def is_captured(data: DataSettings, device: torch.device) -> bool:
    """Whether the steps of a stack are captured."""
    return data.graph == "auto" and device.type == "cuda"


class CapturedStep:
    """Captures a `Step` in a CUDA graph for each shape of batch and each combination of the stepper's branches.

    The first steps of each run eagerly on a side stream, which warms up what torch and CUDA initialize lazily; they are
    training steps like all others. The capture itself computes nothing, and later steps replay the graph.
    Source: "CUDA semantics", section "CUDA Graphs", of torch's documentation.
    """

    def __init__(self, step: Step, device: torch.device) -> None:
        self.step = step
        self.device = device
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._taken: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, _Graph] = {}

    def __call__(self, *batch: torch.Tensor) -> torch.Tensor:
        """As `Step`; the result of a replayed graph is a copy. Raises CapabilityError if a capture fails."""
        kind = (*(part.shape for part in batch), self.step.stepper.branches)
        if self._taken[kind] < WARM_UP_STEPS:
            self._taken[kind] += 1
            return self._warm_up(*batch)
        if kind not in self._graphs:
            self._graphs[kind] = _Graph(self.step, batch, self.stream)
        return self._graphs[kind].replay(batch)

    def _warm_up(self, *batch: torch.Tensor) -> torch.Tensor:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            gave = self.step(*batch)
        current.wait_stream(self.stream)
        return gave


class _Graph:
    """A `step` captured for arguments like `batch`, and static memory for them."""

    def __init__(self, step: Step, batch: Sequence[torch.Tensor], stream: torch.cuda.Stream) -> None:
        self.given = [part.clone() for part in batch]
        self.graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self.graph, stream=stream):
                self.gave = step(*self.given)
        except RuntimeError as error:
            raise CapabilityError(
                f"data.graph='auto': a step could not be captured in a CUDA graph: {first_line(error)}\n"
                "use data.graph='off'"
            ) from error

    def replay(self, batch: Sequence[torch.Tensor]) -> torch.Tensor:
        torch._foreach_copy_(self.given, list(batch))
        self.graph.replay()
        return self.gave.clone()
