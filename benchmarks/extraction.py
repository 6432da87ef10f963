"""extract-features against the plain recipe: a DataLoader without workers, PIL, float32, batch 512."""

import json
import tempfile
import time
from pathlib import Path

SIZE_PX = (500, 375)


def extraction(quick: bool, device: str) -> list[dict]:
    """ResNet-50 (random weights: the arithmetic is the same) on JPEGs of CLEAR's size."""
    import torch
    from torchvision import models, transforms

    from clearctl import extract_features, prepare_avalanche
    from clearctl.data.samples import ImageSamples

    target = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    images = 16 if quick else 64 if target.type == "cpu" else 4096
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = _make_images(root, images)
        prepare_avalanche(root, test_ratio=0)
        steps = [
            transforms.Resize(224),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
        transform = transforms.Compose(steps)
        network = models.resnet50()
        network.fc = torch.nn.Identity()
        network.eval().to(target)
        samples = ImageSamples(root, "0", [(path, 0) for path in paths])

        class Plain(torch.utils.data.Dataset):
            def __len__(self) -> int:
                return len(samples)

            def __getitem__(self, index: int) -> torch.Tensor:
                return transform(samples[index][0])

        def plain() -> torch.Tensor:
            with torch.no_grad():
                loader = torch.utils.data.DataLoader(Plain(), batch_size=512)
                return torch.cat([network(batch.to(target)).cpu() for batch in loader])

        started = time.perf_counter()
        plain()
        plain_s = time.perf_counter() - started
        rows = []
        for precision in ("fp32", "bf16"):
            result = extract_features(root, name=precision, weights="none", precision=precision, device=str(target))
            speed = f"{images / result.seconds:,.1f} images/s, {result.waiting_s / result.seconds:.0%} waiting for them"
            what = f"extract-features, ResNet-50, {precision}, {target.type}, {images:,} images ({speed})"
            against = f"plain recipe ({images / plain_s:,.1f} images/s)"
            rows.append({"what": what, "seconds": result.seconds, "against": against, "against_seconds": plain_s})
    return rows


def _make_images(root: Path, count: int) -> list[str]:
    """A raw folder of one bucket and one class, its JPEGs of noise smooth enough to compress as photographs do."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    (root / "labeled_images").mkdir()
    records = {}
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        path = f"labeled_images/{number}.jpg"
        coarse.resize(SIZE_PX, Image.Resampling.BICUBIC).save(root / path, quality=92)
        records[str(number)] = {"IMG_PATH": path}
    (root / "a.json").write_text(json.dumps(records))
    (root / "labeled_metadata.json").write_text(json.dumps({"0": {"a": "a.json"}}))
    (root / "class_names.txt").write_text("a")
    return [record["IMG_PATH"] for record in records.values()]
