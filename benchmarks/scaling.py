"""Scaling on paper: what the processes of a run exchange in a step, and how long that takes.

`python -m benchmarks.scaling [--measure | --images-per-s N]`

ResNet-50 at 224 px, learned by Naive on images from the store, float32. The bytes follow from the network and from
`clearctl.models.parallel`, the seconds of computing from the images/s of one device, which are given or measured here;
bandwidths and the latency are assumptions. Nothing is overlapped, since the gradients are averaged in one piece when
backward has ended.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torchvision.models import resnet50

from benchmarks.machine import describe
from clearctl.distributed.split import is_cut
from clearctl.engine.build.accelerate import allow_tf32

PIXELS = 3 * 224 * 224
FLOAT = 4  # bytes
DEVICES = (1, 8, 64)
# Assumed: a link of 100 Gbit/s to each machine, and inside a third of what NVLink 3 has in one direction.
INSIDE_GB_S, BETWEEN_GB_S, LATENCY_US = 100.0, 12.5, 10.0
MEASURED_STEPS = 3


@dataclass(frozen=True)
class Network:
    """The numbers of a network that are exchanged: of its weights, its running means and variances, its scores."""

    parameters: int
    running: int
    classes: int


def network(classes: int) -> Network:
    """The sizes of torchvision's ResNet-50, without allocating its weights."""
    with torch.device("meta"):
        made = resnet50(num_classes=classes)
    running = sum(buffer.numel() for buffer in made.buffers() if buffer.is_floating_point())
    return Network(sum(parameter.numel() for parameter in made.parameters()), running, classes)


@dataclass(frozen=True)
class Links:
    """Bytes a second in one direction inside a machine and between two, seconds for a message to the next device."""

    inside: float = INSIDE_GB_S * 1e9
    between: float = BETWEEN_GB_S * 1e9
    latency: float = LATENCY_US * 1e-6
    per_machine: int = 8

    def pass_on(self, size: float, hops: int, devices: int) -> float:
        """Seconds in which each device of a ring has passed on `size` bytes in `hops` messages, the slowest link's."""
        return size / (self.inside if devices <= self.per_machine else self.between) + hops * self.latency


@dataclass(frozen=True)
class Step:
    """One step of `devices` devices with a batch of `batch` images in all; bytes are those of one device."""

    net: Network
    links: Links
    devices: int
    batch: int

    @property
    def rows(self) -> int:
        """The images that a device computes, where they are not shared evenly the most; all, if they are too few."""
        return -(-self.batch // self.devices) if is_cut(self.batch, self.devices) else self.batch

    @property
    def uploaded(self) -> int:
        """Bytes of decoded pixels that go to a device."""
        return self.rows * PIXELS

    @property
    def reduced(self) -> float:
        """Bytes that a device sends for the mean of the gradients: a ring passes on each part twice."""
        return 2 * self._others * FLOAT * self.net.parameters

    @property
    def gathered(self) -> float:
        """Bytes that it sends for everyone to have all scores; a ring passes on each part once."""
        shared = is_cut(self.batch, self.devices)
        return (self.devices - 1) * FLOAT * self.rows * self.net.classes if shared else 0.0

    @property
    def broadcast(self) -> float:
        """Bytes of running means and variances, which the first sends to the others."""
        return FLOAT * self.net.running if self.devices > 1 else 0.0

    @property
    def exchanged(self) -> float:
        """Bytes of all three."""
        return self.reduced + self.gathered + self.broadcast

    @property
    def reducing(self) -> float:
        """Seconds for the gradients alone."""
        return self.links.pass_on(self.reduced, 2 * (self.devices - 1), self.devices)

    @property
    def exchanging(self) -> float:
        """Seconds for all that is exchanged."""
        if self.devices == 1:
            return 0.0
        hops = (self.devices - 1) * (2 if self.gathered else 1)
        return self.reducing + self.links.pass_on(self.gathered + self.broadcast, hops, self.devices)

    def computing(self, images_per_s: float) -> float:
        """Seconds that a device at this rate of images/s computes; the rate is assumed to be the same with few rows."""
        return self.rows / images_per_s

    def efficiency(self, images_per_s: float) -> float:
        """The images/s of all devices, as a part of what as many would do that exchange nothing."""
        return self._efficiency(images_per_s, self.computing(images_per_s) + self.exchanging)

    def overlapped(self, images_per_s: float) -> float:
        """The efficiency if the gradients were exchanged while the device computes, which is the most that can be."""
        computing, rest = self.computing(images_per_s), self.exchanging - self.reducing
        return self._efficiency(images_per_s, max(computing, self.reducing) + rest)

    def fastest(self, efficiency: float) -> float:
        """The images/s of a device up to which the step has that efficiency; infinite if nothing is exchanged."""
        spare = self.batch / self.devices / efficiency - self.rows
        if spare <= 0:
            return 0.0
        return spare / self.exchanging if self.exchanging else float("inf")

    @property
    def _others(self) -> float:
        return (self.devices - 1) / self.devices

    def _efficiency(self, images_per_s: float, seconds: float) -> float:
        return self.batch / self.devices / images_per_s / seconds


def measure(device: torch.device, rows: int) -> float:
    """Images/s of forward and backward of ResNet-50 with `rows` images at once, the median of a few steps."""
    allow_tf32(False, device)  # as in clearctl by default
    model = resnet50(num_classes=11).to(device)
    x, y = torch.rand(rows, 3, 224, 224, device=device), torch.randint(11, (rows,), device=device)
    seconds = []
    for _ in range(1 + MEASURED_STEPS):  # the first warms up what is allocated at first use
        model.zero_grad()
        started = time.perf_counter()
        nn.functional.cross_entropy(model(x), y).backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return rows / statistics.median(seconds[1:])


def table(steps: Sequence[Step], images_per_s: float | None) -> list[str]:
    """The lines of a table, a step a line."""
    heads = ["devices", "images each", "pixels MB", "sent MB", "exchange ms", "90% up to images/s"]
    heads += ["compute ms", "efficiency", "overlapped"] if images_per_s else []
    lines = ["  ".join(heads)]
    for step in steps:
        cells = [str(step.devices), str(step.rows), f"{step.uploaded / 1e6:.1f}", f"{step.exchanged / 1e6:.1f}"]
        limit = step.fastest(0.9)
        cells += [f"{1e3 * step.exchanging:.1f}", "any" if limit == float("inf") else f"{limit:,.0f}"]
        if images_per_s:
            cells += [f"{1e3 * step.computing(images_per_s):,.1f}"]
            cells += [f"{100 * part(images_per_s):.1f}%" for part in (step.efficiency, step.overlapped)]
        lines.append("  ".join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True)))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables of both conventions."""
    asked = _asked(arguments)
    net, rate = network(asked.classes), asked.images_per_s
    links = Links(asked.inside_gb_s * 1e9, asked.between_gb_s * 1e9, asked.latency_us * 1e-6, asked.per_machine)
    print(f"ResNet-50, {net.classes} classes, 224 px, float32: {net.parameters:,} weights")
    gradients, running = (FLOAT * numbers / 1e6 for numbers in (net.parameters, net.running))
    print(f"gradients {gradients:.1f} MB, running means and variances {running:.2f} MB")
    print(
        f"assumed: {asked.inside_gb_s:g} GB/s inside a machine of {asked.per_machine} devices,"
        f" {asked.between_gb_s:g} GB/s between machines, {asked.latency_us:g} µs a message, nothing overlapped"
    )
    if asked.measure:
        device = torch.device(asked.device)
        rate = measure(device, asked.measure)
        found = describe(asked.device)
        where = found["device"] if device.type == "cuda" else f"{found['processor']}, {found['threads']} threads"
        print(f"measured: {rate:.1f} images/s, {asked.measure} at once, torch {found['torch']}, {where}")
    elif rate:
        print(f"given: {rate:g} images/s of one device")
    batch = asked.batch
    print(f"\ntrain_mb_size={batch} of the whole batch (the default)")
    print(*table([Step(net, links, devices, batch) for devices in asked.devices], rate), sep="\n")
    print(f"\ntrain_mb_size={batch} of each process (data.batch_per_rank=True)")
    print(*table([Step(net, links, devices, batch * devices) for devices in asked.devices], rate), sep="\n")


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=(__doc__ or "").partition("\n")[0]
    )
    speed = parser.add_mutually_exclusive_group()
    speed.add_argument("--images-per-s", type=_positive, help="forward and backward on one device, as you measured it")
    speed.add_argument(
        "--measure", type=_count, nargs="?", const=8, metavar="N", help="measure it here, N images at once"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="to measure on")
    parser.add_argument("--devices", type=_count, nargs="+", default=DEVICES, metavar="N", help="how many")
    parser.add_argument("--per-machine", type=_count, default=8, help="devices of one machine")
    parser.add_argument("--batch", type=_count, default=256, help="train_mb_size")
    parser.add_argument("--classes", type=_count, default=11, help="of the head; CLEAR-10 has 11")
    parser.add_argument("--inside-gb-s", type=_positive, default=INSIDE_GB_S, help="inside a machine, in one direction")
    parser.add_argument("--between-gb-s", type=_positive, default=BETWEEN_GB_S, help="between machines")
    parser.add_argument("--latency-us", type=float, default=LATENCY_US, help="of a message to the next device")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1")
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


if __name__ == "__main__":
    main()
