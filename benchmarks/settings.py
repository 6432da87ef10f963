"""The settings of a call of `python -m benchmarks`."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`folder` is emptied at the end; `plain_epochs` is for the whole run, where plain Avalanche would take minutes."""

    folder: Path
    quick: bool
    device: str
    plain_epochs: int
