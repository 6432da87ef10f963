"""Images whose folders give their labels: bucket/class/image or class/image, optionally in train/ and test/.

The layout follows from the depth of the images, and from folders called train and test; a layout
that is named may have its parts in any order, and folders below them.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clearctl.dataset.image_folders import SUFFIXES
from clearctl.dataset.importing.images import Found, LeftOut, SourceImage
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted, Listener

PARTS = ("split", "bucket", "class")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
}
# Of photographs that clearctl does not decode: HEIF, and what cameras call raw.
UNDECODED = frozenset(
    (".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf", ".rw2", ".pef")
)
SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db"))
NO_IMAGE = "without the suffix of an image"
_SEVERAL_SPLITS = 2


@dataclass
class Scan:
    """The files below a source, in no order: paths relative to it, as tuples of their parts."""

    images: list[tuple[str, ...]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def scan(root: Path, listener: Listener) -> Scan:
    """The images below `root`; links to folders are followed, hidden files and folders passed over.

    Raises DatasetError for a folder that cannot be listed.
    """
    found = Scan()
    for done, (folder, names, to_do) in enumerate(_walk(root), 1):
        for name in names:
            path = "/".join((*folder, name))
            suffix = os.path.splitext(name)[1].lower()
            if suffix in SUFFIXES:
                found.images.append((*folder, name))
            elif suffix in UNDECODED:
                found.left_out.add("of a format that clearctl does not decode", [path])
            elif name.lower() not in SYSTEM_FILES:
                found.left_out.add(NO_IMAGE, [path])
        listener(Counted("look for images", done, done + to_do, "folders"))
    return found


def find_in_folders(root: Path, layout: str | None, listener: Listener) -> Found:
    """The images below `root`, labelled by their folders.

    `layout` is "class", "bucket/class", "split/class" and so on (`read_layout`); found out if it is None. Raises
    DatasetError, which says what was found, for folders that are none of these.
    """
    scanned = scan(root, listener)
    if not scanned.images:
        others = scanned.left_out.lines()
        what = f"found {others[0]}" if others else "found no file"
        raise DatasetError(
            f"{root} has no images: {what}\nexpected file names that end in {', '.join(sorted(SUFFIXES))}"
        )
    parts = read_layout(layout) if layout else _detect(root, scanned.images)
    found = Found([], "/".join(parts), scanned.left_out)
    for path in scanned.images:
        name = "/".join(path)
        if len(path) <= len(parts):
            found.left_out.add(f"not as deep as {found.layout}/image", [name])
            continue
        roles = dict(zip(parts, path, strict=False))
        split = roles.get("split")
        if split is not None and split.lower() not in SPLITS:
            found.left_out.add("outside the folders train and test", [name])
            continue
        found.images.append(
            SourceImage(
                root / name, name, roles["class"], roles.get("bucket"), SPLITS[split.lower()] if split else None
            )
        )
    if not found.images:
        raise DatasetError(f"{root} has no image at {found.layout}/image, but {name}\ntry another --layout")
    return found


def read_layout(text: str) -> tuple[str, ...]:
    """`bucket/class` as its parts. Raises UsageError unless it names "class" and each part once."""
    parts = tuple(text.strip("/").removesuffix("/image").split("/"))
    if "class" not in parts or not set(parts) <= set(PARTS) or len(set(parts)) < len(parts):
        raise UsageError(
            f"--layout {text}: expected class, bucket/class, class/bucket, split/class or split/bucket/class"
        )
    return parts


def _detect(root: Path, images: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The parts that the folders of all images stand for."""
    tops = {path[0] for path in images if len(path) > 1}
    splits = {name for name in tops if name.lower() in SPLITS}
    is_split = bool(splits) and splits == tops
    if not is_split and len({SPLITS[name.lower()] for name in splits}) >= _SEVERAL_SPLITS:
        other = sorted(tops - splits)[0]
        raise DatasetError(
            f"{root} has {', '.join(sorted(splits))} next to {other}: are they splits or classes?\n"
            "say what the folders are with --layout, such as split/class or bucket/class"
        )
    depths = Counter(len(path) - 1 for path in images)
    if len(depths) > 1:
        found = "; ".join(
            f"{count:,} at depth {depth}: {_example(images, depth)}" for depth, count in sorted(depths.items())
        )
        raise DatasetError(
            f"{root}: images are at several depths: {found}\n"
            "say what the folders are with --layout, such as class or bucket/class; deeper files belong to them"
        )
    depth = next(iter(depths))
    parts = {1: ("class",), 2: ("bucket", "class")}.get(depth - is_split)
    if parts is None:
        raise DatasetError(
            f"{root}: images are {depth} folders deep, such as {_example(images, depth)}: expected class/image or "
            "bucket/class/image\nsay what the folders are with --layout, or give a table of path, label and date"
        )
    return ("split", *parts) if is_split else parts


def _example(images: Sequence[tuple[str, ...]], depth: int) -> str:
    return "/".join(min(path for path in images if len(path) - 1 == depth))


def _walk(root: Path) -> Iterator[tuple[tuple[str, ...], list[str], int]]:
    """(the folder's path below `root`, the visible files in it, how many folders are known to follow) for each folder.

    A link to a folder that it is in is not followed.
    """
    pending: list[tuple[tuple[str, ...], tuple[tuple[int, int], ...]]] = [((), ())]
    while pending:
        parts, above = pending.pop()
        folder = root.joinpath(*parts)
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                continue
            with os.scandir(folder) as listing:
                entries = [entry for entry in listing if not entry.name.startswith(".")]
        except OSError as error:
            raise DatasetError(f"{folder} cannot be listed: {error.strerror}") from None
        folders = sorted(entry.name for entry in entries if entry.is_dir())
        pending += [((*parts, name), (*above, here)) for name in reversed(folders)]
        yield parts, sorted(entry.name for entry in entries if not entry.is_dir()), len(pending)
