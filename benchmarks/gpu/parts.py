"""The table of parts: what each shows, how long it may take, what it needs. Ordered by worth, as time may run out."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings


@dataclass(frozen=True)
class Part:
    """`target` is "module:function"; `needs` names background jobs that must have ended well."""

    name: str
    limit_s: int
    target: str
    what: str
    needs: tuple[str, ...] = ()

    def load(self) -> Callable[[Check, Findings], None]:
        """Its function, which imports torch: only in the process that runs it."""
        module, _, function = self.target.partition(":")
        found: Callable[[Check, Findings], None] = getattr(importlib.import_module(module), function)
        return found


HERE = "benchmarks.gpu"
FEATURES, IMAGES, REFERENCE = "feature data", "image data", "cpu reference"

# Begun at once, beside the parts.
BACKGROUND = (
    Part(FEATURES, 60, f"{HERE}.data:make_features", "folders of features"),
    Part(IMAGES, 90, f"{HERE}.data:make_images", "a folder of JPEGs, prepared"),
    Part(REFERENCE, 200, f"{HERE}.strategies:train_on_cpu", "every strategy on the CPU", (FEATURES,)),
)

PARTS = (
    Part("env", 45, f"{HERE}.env:run", "what a launch, a copy, a product, a step cost"),
    Part("sweep", 100, f"{HERE}.sweep:run", "the grid of 45 runs stacked, and nine of them plain", (FEATURES,)),
    Part("strategies", 90, f"{HERE}.strategies:run", "every strategy against the CPU", (FEATURES, REFERENCE)),
    Part("demo", 140, f"{HERE}.demo:run", "configs/demo.py in each precision against a bare loop", (IMAGES,)),
    Part("compile", 100, f"{HERE}.compile:run", "configs/demo.py with compile=True", (IMAGES,)),
    Part("features", 60, f"{HERE}.features:run", "steps/s on features against a bare loop", (FEATURES,)),
    Part("resume", 60, f"{HERE}.resume:run", "SIGKILL and resume", (FEATURES, IMAGES)),
    Part("batches", 30, f"{HERE}.batches:run", "bytes that reach the GPU while it is behind", (IMAGES,)),
    Part("across", 45, f"{HERE}.across:run", "stopped on one kind of device, resumed on the other", (FEATURES,)),
    Part("tests", 120, f"{HERE}.gpu_tests:run", "the tests that need a GPU"),
    Part("extract", 50, f"{HERE}.extract:run", "extract-features in each precision", (IMAGES,)),
)
