"""A few images of each bucket, small enough to be in a page: the same classes in every bucket, as they change."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageOps

from clearctl import layout
from clearctl.errors import DatasetError
from clearctl.images import open_image
from clearctl.report.runs import Run

SIZE_PX = 64
MOST_BYTES = 300_000  # of all images of a page, as the page holds them
MOST_IMAGES = 90
MOST_CLASSES = 6
_QUALITIES = (80, 60, 40, 20)


@dataclass(frozen=True)
class SampleImages:
    """`rows` {class name: a data URL for each of `buckets`}, None if the bucket has no image of the class."""

    name: str
    buckets: list[str]
    rows: dict[str, list[str | None]]


def sample_images(runs: Sequence[Run]) -> list[SampleImages]:
    """Images of each dataset of `runs` whose folder still exists; none of a dataset without images."""
    runs = [run for run in runs if not run.foreign]
    datasets = {run.dataset: run for run in reversed(runs)}
    first_runs = [run for run in runs if datasets[run.dataset] is run]
    found = (_samples(run, MOST_BYTES // len(first_runs)) for run in first_runs)
    return [samples for samples in found if samples is not None]


def _samples(run: Run, most_bytes: int) -> SampleImages | None:
    root = Path(run.values.get("scenario", {}).get("dataset_root") or run.environment["dataset"].get("root") or "")
    try:
        class_names = layout.read_class_names(root)
        learned = run.environment["dataset"].get("class_names") or class_names
        if learned != [name for name in class_names if name in learned]:
            return None  # another dataset has taken its place
        most = min(MOST_CLASSES, max(1, MOST_IMAGES // len(run.bucket_names)))
        chosen = [class_names.index(learned[number]) for number in _spread_out(len(learned), most)]
        listed = {bucket: layout.read_bucket_filelist(root, bucket, len(class_names)) for bucket in run.bucket_names}
    except DatasetError:
        return None
    each = most_bytes // (len(chosen) * len(listed))
    rows: dict[str, list[str | None]] = {class_names[label]: [] for label in chosen}
    for lines in listed.values():
        first = {label: path for path, label in reversed(lines)}
        for label in chosen:
            rows[class_names[label]].append(_data_url(root / first[label], each) if label in first else None)
    rows = {name: images for name, images in rows.items() if any(images)}
    return SampleImages(root.name, run.bucket_names, rows) if rows else None


def _spread_out(count: int, most: int) -> list[int]:
    """At most `most` numbers below `count`, evenly."""
    if count <= most:
        return list(range(count))
    return [index * count // most for index in range(most)]


def _data_url(file: Path, most_bytes: int) -> str | None:
    """The image as a JPEG in a URL of at most `most_bytes`; None for one that cannot be read, or comes out larger."""
    try:
        with open_image(file) as image:
            image.draft("RGB", (SIZE_PX, SIZE_PX))  # decodes a JPEG at no more than the size that is needed
            square = ImageOps.fit(image.convert("RGB"), (min(SIZE_PX, *image.size),) * 2)
    except Exception:  # Pillow raises many kinds: OSError, SyntaxError, ValueError, struct.error
        return None
    for quality in _QUALITIES:
        data = io.BytesIO()
        square.save(data, "JPEG", quality=quality, optimize=True)
        url = "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()
        if len(url) <= most_bytes:
            return url
    return None
