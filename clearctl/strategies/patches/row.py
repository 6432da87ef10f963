"""The form of a row of the tables of changes."""

from dataclasses import dataclass
from typing import Literal

Library = tuple[str, str]  # its name, and the major.minor version that it is checked against; "" for any supported one

AVALANCHE: Library = ("avalanche-lib", "0.6")
MMCLS: Library = ("mmcls", "0.25")
MMCV: Library = ("mmcv", "1.7")
TORCH: Library = ("torch", "")
TIMM: Library = ("timm", "")
TORCHVISION: Library = ("torchvision", "")
WANDB: Library = ("wandb", "")
TENSORBOARD: Library = ("tensorboard", "")
MATPLOTLIB: Library = ("matplotlib", "")
RAY: Library = ("ray", "")
PYTHON: Library = ("python", "")


@dataclass(frozen=True)
class Patch:
    """A change to something that is not clearctl's own.

    `what` is changed, by the object of clearctl's whose dotted name below `clearctl` is `where`, for the reason `why`.
    `issue` is the upstream issue, if one is known. `test` is the id of the test that fails once the library needs
    the change no longer, or that shows what it is for.

    `kind`: "process" for what all code in this process sees, "object" for one object that a run has built, "subclass"
    for a class of clearctl's that differs from the library's. `stays` says why a change to the process is not
    undone; the others are, by the end of the call that made them.
    """

    what: str
    where: str
    why: str
    library: Library
    test: str
    kind: Literal["process", "object", "subclass"]
    issue: str | None = None
    stays: str | None = None
