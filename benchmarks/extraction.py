"""extract-features against the plain recipe: a DataLoader without workers, PIL, float32, batch 512."""

import time
from pathlib import Path

from benchmarks.alone import alone
from benchmarks.folders import image_folder
from benchmarks.row import Row
from benchmarks.settings import Settings

# In bf16 a processor without the units for it only imitates them, so only the larger table has that row's goal.
PRECISIONS = {"fp32": (2.5, 0.8), "bf16": (10.0, None)}


def extraction(settings: Settings) -> list[Row]:
    """ResNet-50 (random weights: the arithmetic is the same) on JPEGs of CLEAR's size."""
    images, rounds = (16, 1) if settings.quick else (64, 3)
    device = alone(_device, settings.device)
    images = 4096 if device == "cuda" and not settings.quick else images
    root = image_folder(settings.folder / "extraction", images)
    alone(_prepare, root)
    plains = []
    ours: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
    for _ in range(rounds):
        plains.append(alone(_plain, root, device))
        for precision in ours:
            if not (settings.quick and precision == "bf16"):
                ours[precision].append(alone(_extract, root, precision, device))
    rows = []
    for precision, seconds in ours.items():
        goal, floor = PRECISIONS[precision]
        if seconds:
            what = f"extract-features, ResNet-50, {precision}, {device}, {images:,} images"
            rows.append(
                Row("extraction", what, seconds, "plain recipe", plains, "times faster", goal=goal, floor=floor)
            )
    return rows


def _device(wanted: str) -> str:
    import torch

    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def _prepare(root: Path) -> None:
    from clearctl import prepare_avalanche

    prepare_avalanche(root, test_ratio=0)


def _extract(root: Path, precision: str, device: str) -> float:
    from clearctl import extract_features

    name = f"{precision}-{time.time_ns()}"  # for an existing name nothing would be done
    return extract_features(root, name=name, weights="none", precision=precision, device=device).seconds


def _plain(root: Path, device: str) -> float:
    import torch
    from PIL import Image
    from torchvision import models, transforms

    transform = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    files = sorted(root.glob("labeled_images/1/*/*.jpg"))
    network = models.resnet50()
    network.fc = torch.nn.Identity()
    network.eval().to(device)

    class Plain(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> torch.Tensor:
            with Image.open(files[index]) as image:
                return transform(image.convert("RGB"))

    started = time.perf_counter()
    with torch.no_grad():
        torch.cat([network(batch.to(device)).cpu() for batch in torch.utils.data.DataLoader(Plain(), batch_size=512)])
    return time.perf_counter() - started
