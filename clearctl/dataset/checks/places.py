"""Checks that every image exists, and in one place only: not in two buckets, nor in both train and test."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.checks.labels import Image
from clearctl.progress import Counted, Listener

PATHS = "paths"
OVERLAPS = "overlaps"
MOST_NAMED = 4


def check_paths(
    findings: DatasetFindings, images: Sequence[Image], has_features: bool, listener: Listener
) -> list[Image]:
    """Check that every image is a file or a link to one; give those that are, each path once.

    `has_features` makes a folder without any image at all one to train on features with.
    """
    paths = {image.path: image for image in images}
    findings.looked_at(PATHS, len(paths), "paths")
    there = _there(findings.root, paths, listener)
    missing = [image for image in paths.values() if image.path not in there]
    if missing and len(missing) == len(paths):
        text = f"none of the {len(paths):,} images exists, such as {missing[0].path}"
        if has_features:
            findings.note(PATHS, f"{text}: only features can be trained on")
        else:
            findings.fault(PATHS, f"{text}: was the archive unpacked completely?")
        return []
    sizes = Counter(image.place for image in paths.values())
    for place, group in groupby(missing, key=lambda image: image.place):
        gone = list(group)
        what = "missing"
        if 1 < len(gone) == sizes[place]:
            what = f"missing, as are all {len(gone)} of its class and bucket"
            gone = gone[:1]
        for image in gone:
            file = findings.root / image.path
            findings.fault(PATHS, what, file=file, bucket=image.bucket, class_name=image.class_name)
    return [image for path, image in paths.items() if path in there]


def check_overlaps(findings: DatasetFindings, images: Sequence[Image]) -> None:
    """Check that no id and no path is listed in two buckets, in both train and test, or in two classes.

    Where no metadata gives ids, a file name in several buckets or parts is worth a note: `check_contents` knows better.
    """
    findings.looked_at(OVERLAPS, len(images), "images")
    for image_id, same in _repeated((image.id, image) for image in images if image.id):
        findings.fault(OVERLAPS, f"the id {image_id!r} in {_places(same)}")
    for path, same in _repeated((os.path.normpath(image.path), image) for image in images):
        ids = {image.id for image in same}
        if len(ids) > 1 or None in ids:  # else it is reported as an id
            findings.fault(OVERLAPS, f"in {_places(same)}", file=findings.root / path)
    named = _repeated((os.path.basename(image.path), image) for image in images if image.id == image.path)
    apart = [(name, {(image.bucket, image.part): image for image in same}) for name, same in named]
    several = [(name, list(images.values())[:2]) for name, images in apart if len(images) > 1]
    if several:
        name, examples = several[0]
        what = f"{len(several):,} file names are in several buckets or parts, such as {name} in {_places(examples)}"
        findings.note(OVERLAPS, f"{what}; --images compares contents")


def check_contents(findings: DatasetFindings, images: Sequence[Image], digests: Mapping[str, str]) -> None:
    """Check that no two files of different buckets or parts are the same bytes.

    Each path is in `images` once; `digests` is {path: sha256}.
    """
    read = [image for image in images if image.path in digests]
    for _, same in _repeated((digests[image.path], image) for image in read):
        names = [f"{image.path} ({image.place})" for image in same[:MOST_NAMED]]
        if len(same) > MOST_NAMED:
            names.append(f"{len(same) - MOST_NAMED:,} more")
        if len({(image.bucket, image.part) for image in same}) > 1:
            findings.fault(OVERLAPS, f"the same bytes in several places: {', '.join(names)}")
        else:
            findings.note(OVERLAPS, f"the same bytes more than once in a bucket: {', '.join(names)}")


def _there(root: Path, paths: Iterable[str], listener: Listener) -> set[str]:
    """Those of `paths` that are files or links to one; each folder is listed once, however many it holds."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(path.rpartition("/")[0], []).append(path)
    there: set[str] = set()
    for done, (folder, of_folder) in enumerate(by_folder.items(), 1):
        names = _list_files(root / folder)
        # A listing may spell a name differently than the file system accepts it (case, composed characters).
        there.update(path for path in of_folder if path.rpartition("/")[2] in names or os.path.isfile(root / path))
        listener(Counted("look for the images", done, len(by_folder), "folders"))
    return there


def _list_files(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except (OSError, ValueError):  # not there, not to be listed, a NUL in the name: the image itself is requested
        return frozenset()


def _repeated(pairs: Iterable[tuple[str, Image]]) -> list[tuple[str, list[Image]]]:
    """The keys that several images have, with these images."""
    groups: dict[str, list[Image]] = {}
    for key, image in pairs:
        groups.setdefault(key, []).append(image)
    return [(key, images) for key, images in groups.items() if len(images) > 1]


def _places(images: Sequence[Image]) -> str:
    """`bucket 1, class 'a', and in bucket 2, class 'b'`."""
    return ", and in ".join(image.place for image in images)
