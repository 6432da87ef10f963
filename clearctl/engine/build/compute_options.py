"""Precision, TF32 and memory format: the options for a GPU, and their measured speed-ups.

docs/performance.md has the figures and how they were measured ("On a GPU").
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from clearctl.config.findings import Findings
from clearctl.config.settings import ComputeSettings, Settings
from clearctl.config.speed import check_speed
from clearctl.data.stream import Stream
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.progress import Listener, Message


@dataclass(frozen=True)
class ComputeOption:
    """A way to compute the network: the three options of a config that a GPU gains by."""

    precision: str = "fp32"
    tf32: bool = False
    channels_last: bool = False

    @classmethod
    def of(cls, compute: ComputeSettings) -> "ComputeOption":
        """The option that `compute` sets; in half precision TF32 has no effect."""
        return cls(compute.precision, compute.tf32 and compute.precision == "fp32", compute.channels_last)

    @property
    def values(self) -> dict[str, Any]:
        """The values at the top level of a config."""
        return {"precision": self.precision, "tf32": self.tf32, "channels_last": self.channels_last}

    @property
    def name(self) -> str:
        """`fp32`, `tf32`, `bf16, channels_last`."""
        return ("tf32" if self.tf32 else self.precision) + (", channels_last" if self.channels_last else "")

    @property
    def arguments(self) -> str:
        """The arguments of `clearctl train` that set it, if the config does not."""
        given = [f"--precision {self.precision}"] if self.precision != "fp32" else []
        return " ".join([*given, *(f"--set {name}=True" for name in ("tf32", "channels_last") if getattr(self, name))])


BF16, TF32 = ComputeOption("bf16"), ComputeOption(tf32=True)
OFFERED = (BF16, TF32, ComputeOption("bf16", channels_last=True))


@dataclass(frozen=True)
class Measured:
    """Images a second that a `card` trained a `network` on, {name of the option: images/s}."""

    card: str
    network: str
    images_per_s: Mapping[str, float]


KNOWN = Measured(
    "NVIDIA H200",
    "ResNet-50 (224 px, batch 64)",
    {"fp32": 751, "tf32": 1442, "bf16": 1397, "bf16, channels_last": 1202},
)


def other_options(settings: Settings, device: torch.device) -> list[ComputeOption]:
    """The offered options other than the config's own; none on a CPU and on a GPU without units for bf16 and TF32."""
    if device.type != "cuda" or not torch.cuda.is_bf16_supported(including_emulation=False):
        return []
    own = ComputeOption.of(settings.compute)
    return [option for option in OFFERED if option != own and _is_accepted(settings, option)]


def say_what_gained(settings: Settings, stream: Stream, device: torch.device, listener: Listener) -> None:
    """Report the measured gains of other options, if images are to be trained on in plain float32 on a GPU."""
    own = ComputeOption.of(settings.compute)
    if stream.feature_dim is not None or own.precision != "fp32" or own.tf32:
        return
    plain = KNOWN.images_per_s["fp32"]
    gains = [
        f"{KNOWN.images_per_s[option.name] / plain:.1f} times with {option.arguments}"
        for option in other_options(settings, device)
    ]
    if gains:
        what = f"on an {KNOWN.card} {KNOWN.network} trained faster: {', '.join(gains)}"
        listener(Message(f"precision fp32: {what}; `clearctl train --dry-run` measures them here"))


def _is_accepted(settings: Settings, option: ComputeOption) -> bool:
    """Whether network, strategy and plugins of the config go with the option."""
    values = {**settings.config.values, **option.values}
    found = Findings(replace(settings.config, values=values))
    check_speed(found, values, CATALOGUE.refused_with)
    return not any(fault.key in option.values for fault in found.faults)
