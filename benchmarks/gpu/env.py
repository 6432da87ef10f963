"""What the machine's GPU costs and gives, so that the times of the other parts can be explained."""

import time
from collections.abc import Callable

import torch

from benchmarks.folders import CLASSES
from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings
from benchmarks.sides.task import BATCH, LR, MOMENTUM

COPIED_BYTES = 64 << 20
PRODUCT = 8192
ROWS, DIMENSION = 33_000, 2048  # of ten buckets


def run(check: Check, findings: Findings) -> None:
    """Launches, copies, products; a step of a linear head on features, and the same captured in a CUDA graph."""
    size = check.of(PRODUCT, 256)
    device = torch.device(check.device)

    def seconds(work: Callable[[], object], repeats: int) -> float:
        repeats = check.of(repeats, 3)
        for _ in range(max(3, repeats // 10)):
            work()
        check.synchronize()
        started = time.perf_counter()
        for _ in range(repeats):
            work()
        check.synchronize()
        return (time.perf_counter() - started) / repeats

    number = torch.zeros(1, device=device)
    findings.figure("launch us", seconds(lambda: number.add_(1), 3000) * 1e6)
    findings.figure("wait for a number us", seconds(number.item, 300) * 1e6)
    for kind, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        matrix = torch.randn(size, size, device=device, dtype=dtype)
        findings.figure(f"{kind} product TFLOP/s", 2 * size**3 / seconds(lambda: matrix @ matrix, 10) / 1e12)  # noqa: B023
    if check.on_gpu:
        with findings.noted("copies"):
            _copies(findings, device, seconds)
    with findings.noted("a step"):
        _step(check, findings, device, seconds)


def _copies(findings: Findings, device: torch.device, seconds: Callable[[Callable[[], object], int], float]) -> None:
    pageable = torch.empty(COPIED_BYTES, dtype=torch.uint8)
    there = torch.empty_like(pageable, device=device)
    for kind, source in (("pinned", pageable.pin_memory()), ("pageable", pageable)):
        took = seconds(lambda: there.copy_(source, non_blocking=True), 10)  # noqa: B023
        findings.figure(f"{kind} copy GB/s", COPIED_BYTES / took / 1e9)


def _step(
    check: Check, findings: Findings, device: torch.device, seconds: Callable[[Callable[[], object], int], float]
) -> None:
    x = torch.randn(check.of(ROWS, 2 * BATCH), DIMENSION, device=device)
    rows = torch.randperm(len(x), device=device)[:BATCH]
    y = torch.randint(CLASSES, (BATCH,), device=device)
    layer = torch.nn.Linear(DIMENSION, CLASSES).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), lr=LR, momentum=MOMENTUM)

    def step() -> None:
        inputs = x.index_select(0, rows)
        optimizer.zero_grad(set_to_none=False)
        torch.nn.functional.cross_entropy(layer(inputs), y).backward()
        optimizer.step()

    findings.figure("gather us", seconds(lambda: x.index_select(0, rows), 1000) * 1e6)
    findings.figure("bare step us", seconds(step, 500) * 1e6)
    if not check.on_gpu:
        return
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # once before it is captured, as torch's manual has it
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    findings.figure("the same step in a CUDA graph us", seconds(graph.replay, 1000) * 1e6)
