"""The published archives of CLEAR, by dataset and release, and their target folders."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clearctl import layout
from clearctl.errors import UsageError

DATASETS = Path("dataset")
HUB = "https://huggingface.co"
HUB_VARIABLE = "HF_ENDPOINT"  # of huggingface_hub, for those behind a mirror of the whole hub
PLACE = "datasets/elvishelvis6/CLEAR-Continual_Learning_Benchmark/resolve/main"
BASE_URL = f"{HUB}/{PLACE}"


@dataclass(frozen=True)
class Archive:
    """A file under the base URL; `holds` are names that it puts into the dataset folder.

    The authors publish no checksum. `md5` is that of another loader of the same file (Amazon's Renate,
    `vision_datasets.py`), `sha256` what the hub had at revision b518a845a98f1c913497ab98a19727cb65b74e65. A difference
    is worth a warning.
    """

    file: str
    holds: tuple[str, ...]
    md5: str | None = None
    sha256: str | None = None


_PUBLIC = ("labeled_images", "labeled_metadata", "labeled_metadata.json", "class_names.txt")
_TEST_10 = Archive("clear10-test.zip", ("test",), "bf9a85bfb78fe742c7ed32648c9a3275")
_TEST_100 = Archive(
    "clear100-test.zip",
    ("test",),
    "e160815fb5fd4bc71dacd339ff41e6a9",
    "c939753be4e62dc7732347e5e636ea599022c82f45443ea9e7166167e467abd0",
)
_IMAGES_10 = Archive("clear10-train-image-only.zip", ("train_image_only",), "5171f720810d60b471c308dee595d430")
_IMAGES_100 = Archive(
    "clear100-train-image-only.zip",
    ("train_image_only",),
    "ea85cdba9efcb3abf77eaab5554052c8",
    "0376b952674e6ef55c3923ee4ce61e5b299fea4e29bbc4780530636e8988fd72",
)

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


def other_releases(name: str, release: str) -> list[str]:
    """The releases that there are beside `release`. Raises UsageError for names other than those of RELEASES."""
    _find(name, release)
    return [other for other in RELEASES[name] if other != release]


def base_url(mirror: str | None) -> str:
    """The address of the folder with the archives, no slash at its end.

    Without a `mirror` it is the authors' on the Hugging Face hub, or on the mirror of the hub that $HF_ENDPOINT names.
    Raises UsageError for anything but the address of a folder.
    """
    endpoint = os.environ.get(HUB_VARIABLE)
    if mirror is None and endpoint:
        _require_address(endpoint, f"${HUB_VARIABLE}={endpoint}", "https://mirror.example")
        return f"{endpoint.rstrip('/')}/{PLACE}"
    base = (BASE_URL if mirror is None else mirror).rstrip("/")
    _require_address(base, f"--url {mirror}", "https://mirror.example/clear/")
    return base


def _require_address(base: str, given: str, example: str) -> None:
    try:
        parts = urlsplit(base)
        plain = parts.scheme in ("http", "https") and parts.hostname and not parts.query and not parts.fragment
        plain = plain and not re.search(r"\s", base) and parts.port != 0  # .port raises ValueError beyond 65535
    except ValueError:
        plain = False
    if not plain:
        raise UsageError(f"{given}: expected the address of a folder, such as {example}")


def _find(name: str, release: str) -> tuple[str, tuple[Archive, ...]]:
    if name not in RELEASES:
        raise UsageError(f"no dataset is called {name!r}: expected {' or '.join(RELEASES)}")
    if release not in RELEASES[name]:
        raise UsageError(f"--release {release}: expected {', '.join(RELEASES[name])}")
    return RELEASES[name][release]
