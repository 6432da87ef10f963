"""What a part is given: the device, the sizes, where the data and the runs are."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "configs" / "demo.py"

# {folder of features: (buckets, rows, numbers), those of --small}. "wide" is for times, "narrow" for accuracies.
WIDE, WIDE_SMALL = (4, 3300, 2048), (2, 550, 2048)
NARROW = (3, 220, 64)


@dataclass(frozen=True)
class Check:
    """`folder` has the data that the parts share and everything that they write; `small` is for machines without a GPU.

    `cores` are those that may make data or read images.
    """

    device: str
    small: bool
    folder: Path
    cores: int

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    @property
    def wide(self) -> Path:
        """Features as wide as a ResNet-50's."""
        return self.folder / "wide"

    @property
    def narrow(self) -> Path:
        """Features of few numbers, on which no strategy gets everything right."""
        return self.folder / "narrow"

    @property
    def images(self) -> Path:
        """Two buckets of JPEGs of 11 classes, prepared."""
        return self.folder / "images"

    def runs(self, name: str) -> Path:
        """A work_dir for runs."""
        return self.folder / "runs" / name

    def of(self, full: int, small: int) -> int:
        """The number that fits the sizes."""
        return small if self.small else full

    def synchronize(self) -> None:
        """Wait until the device has done everything that was asked of it."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()
