"""extract-features in each precision: images/s, and of the network alone; the same bytes twice."""

import hashlib
import time
from typing import Any

import torch

from benchmarks.gpu.busy import Busy
from benchmarks.gpu.check import Check
from benchmarks.gpu.findings import Findings
from clearctl import extract_features
from clearctl.features.forward import Forward
from clearctl.models.zoo.build import build_extractor
from clearctl.progress import ignore

PRECISIONS = ("fp32", "bf16", "fp16")
ARCH, SMALL_ARCH = "resnet50", "shufflenet_v2_x0_5"
BATCH, SMALL_BATCH = 256, 8


def run(check: Check, findings: Findings) -> None:
    """All images of both buckets, with random weights."""
    for precision in PRECISIONS[: 1 if check.small else None]:
        with findings.noted(precision):
            with Busy(check) as busy:
                found = _extract(check, precision, precision)
                ended = time.time()
            findings.figure(f"{precision}: images/s", round(found.images / found.seconds, 1))
            waiting = {"share of the time": round(found.waiting_s / found.seconds, 3), "workers": found.workers}
            findings.figure(f"{precision}: waiting for images", waiting)
            findings.figure(f"{precision}: nvidia-smi", busy.between(ended - found.seconds, ended))
            findings.figure(f"{precision}: images/s of the network alone", _network_alone(check, precision))
    with findings.noted("again"):
        _extract(check, "fp32", "again")
        same = _digest(check, "fp32") == _digest(check, "again")
        findings.right("fp32 twice", same, same, "the same bytes")


def _extract(check: Check, precision: str, name: str) -> Any:
    small: dict[str, Any] = {"batch_size": SMALL_BATCH, "workers": 0} if check.small else {}
    arch = SMALL_ARCH if check.small else ARCH
    given = {"weights": "none", "name": name, "device": check.device, "precision": precision}
    return extract_features(check.images, arch=arch, **given, **small)


def _digest(check: Check, name: str) -> str:
    files = sorted((check.images / "training_folder" / "features" / name).glob("*/all.pth"))
    assert len(files) == 2, "a file for each bucket"
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _network_alone(check: Check, precision: str) -> float:
    """Images/s of batches that are on the device."""
    network = build_extractor(SMALL_ARCH if check.small else ARCH)
    forward = Forward(network, lambda x: x.float().div_(255), torch.device(check.device), precision, ignore)
    batch, size_px, steps = (SMALL_BATCH, 64, 2) if check.small else (BATCH, 224, 12)
    pixels = torch.randint(0, 256, (batch, 3, size_px, size_px), dtype=torch.uint8, device=check.device)
    for _ in range(check.of(4, 1)):
        forward(pixels)
    check.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        forward(pixels)
    check.synchronize()
    return round(steps * batch / (time.perf_counter() - started), 1)
