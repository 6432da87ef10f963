"""The archives in which CLEAR is published, by dataset and release, and where they go."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clearctl import layout
from clearctl.errors import UsageError

DATASETS = Path("dataset")
BASE_URL = "https://huggingface.co/datasets/elvishelvis6/CLEAR-Continual_Learning_Benchmark/resolve/main"


@dataclass(frozen=True)
class Archive:
    """A file under the base URL; `holds` are names that it puts into the dataset folder.

    `md5` is not the authors', who publish none, but that of another loader of the same file (Amazon's Renate,
    `vision_datasets.py`): a difference is worth a warning.
    """

    file: str
    holds: tuple[str, ...]
    md5: str | None = None


_PUBLIC = ("labeled_images", "labeled_metadata", "labeled_metadata.json", "class_names.txt")
_TEST_10 = Archive("clear10-test.zip", ("test",), "bf9a85bfb78fe742c7ed32648c9a3275")
_TEST_100 = Archive("clear100-test.zip", ("test",), "e160815fb5fd4bc71dacd339ff41e6a9")
_IMAGES_10 = Archive("clear10-train-image-only.zip", ("train_image_only",), "5171f720810d60b471c308dee595d430")
_IMAGES_100 = Archive("clear100-train-image-only.zip", ("train_image_only",), "ea85cdba9efcb3abf77eaab5554052c8")

# {name: {release: (default folder, archives)}}
RELEASES: dict[str, dict[str, tuple[str, tuple[Archive, ...]]]] = {
    "clear10": {
        "public": (
            "CLEAR-10-PUBLIC",
            (Archive("clear10-public.zip", _PUBLIC, "04d3b228599bdd5a874c261907ebe217"),),
        ),
        "image-only": ("CLEAR-10", (_IMAGES_10, _TEST_10)),
        "full": ("CLEAR-10", (Archive("clear10-train.zip", ("train",)), _TEST_10)),
    },
    "clear100": {
        "public": ("CLEAR-100-PUBLIC", (Archive("clear100-workshop-avalanche.zip", _PUBLIC),)),
        "image-only": ("CLEAR-100", (_IMAGES_100, _TEST_100)),
        "full": ("CLEAR-100", (Archive("clear100-train.zip", ("train",)), _TEST_100)),
    },
}


def find_archives(name: str, release: str) -> tuple[Archive, ...]:
    """The archives of a release. Raises UsageError for names other than those of RELEASES."""
    return _find(name, release)[1]


def default_root(name: str, release: str) -> Path:
    """The dataset folder when none is named: $CLEARCTL_DATASET_ROOT, else by name and release. Raises UsageError."""
    folder = _find(name, release)[0]
    return Path(os.environ.get(layout.ROOT_VARIABLE) or DATASETS / folder)


def base_url(mirror: str | None) -> str:
    """The address of the folder with the archives, no slash at its end. Raises UsageError for any other."""
    base = (BASE_URL if mirror is None else mirror).rstrip("/")
    try:
        parts = urlsplit(base)
        plain = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
    except ValueError:
        plain = False
    if not plain:
        raise UsageError(f"--url {mirror}: expected the address of a folder, such as https://mirror.example/clear/")
    return base


def _find(name: str, release: str) -> tuple[str, tuple[Archive, ...]]:
    if name not in RELEASES:
        raise UsageError(f"no dataset is called {name!r}: expected {' or '.join(RELEASES)}")
    if release not in RELEASES[name]:
        raise UsageError(f"--release {release}: expected {', '.join(RELEASES[name])}")
    return RELEASES[name][release]
