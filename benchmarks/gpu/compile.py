"""configs/demo.py with compile=True, against a bare loop over the same compiled network."""

import os

import torch

from benchmarks.gpu.check import Check
from benchmarks.gpu.demo import BF16, CHANNELS_LAST, Variant, measure
from benchmarks.gpu.findings import Findings
from clearctl.engine.build.accelerate import require_compiler
from clearctl.errors import CapabilityError

COMPILED = Variant((BF16, CHANNELS_LAST, "compile=True"), bare=True)
# Each kernel is compiled by itself, which takes seconds on a CPU: so few of them.
SMALL = Variant(("model.freeze=['backbone']", "cl_strategy.eval_mb_size=64", "compile=True"))


def run(check: Check, findings: Findings) -> None:
    """Where there is a compiler; more epochs than elsewhere, since the first of them compile.

    In its own cache: what is in another's has been compiled before, or only half if its process was killed.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(check.folder / "compiled")
    if check.small:
        os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # others are processes, which import torch
    try:
        require_compiler(torch.device(check.device))
    except CapabilityError as error:
        findings.figure("not measured", str(error))
        return
    with findings.noted("compiled"):
        name, variant = ("fp32, compiled", SMALL) if check.small else ("bf16, channels-last, compiled", COMPILED)
        measure(check, findings, name, variant, check.of(6, 3))
        frames = torch._dynamo.utils.counters["frames"]["ok"]
        findings.right("pieces of code that were compiled", frames, frames > 1, "more than the trial's one")
