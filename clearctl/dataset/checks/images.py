"""Checks that every image decodes, as in training: read once, hashed and decoded, many at a time."""

import hashlib
import io
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.checks.journal import Decoded, Journal
from clearctl.dataset.checks.labels import Image
from clearctl.dataset.decoding import map_in_threads
from clearctl.images import open_image
from clearctl.progress import Counted, Listener, Message
from clearctl.regular import open_regular
from clearctl.wording import counted, in_one_line

IMAGES = "images"
TINY_PX = 32


def check_images(findings: DatasetFindings, images: Sequence[Image], jobs: int, listener: Listener) -> dict[str, str]:
    """Check that every image decodes; each path occurs once. Returns {path: sha256} of the readable ones.

    Earlier results for files that have not changed are taken from the dataset folder's journal.
    """
    journal = Journal(findings.root)
    known = journal.unchanged(image.path for image in images)
    if known:
        listener(Message(f"{len(known):,} of {len(images):,} images are unchanged since an earlier check"))
    paths = [image.path for image in images if image.path not in known]
    decoded = dict(known)
    listener(Counted("decode the images", len(decoded), len(images), "images"))
    try:
        for entries in map_in_threads(partial(_decode, findings.root), paths, jobs):
            # A file that could not be read at all may be readable the next time.
            journal.append(entry for entry in entries if entry.sha256)
            decoded.update((entry.path, entry) for entry in entries)
            listener(Counted("decode the images", len(decoded), len(images), "images"))
    finally:
        if journal.fault:
            text = f"{journal.path} cannot be written ({journal.fault}): the next run checks every image again"
            listener(Message(text, warning=True))
        elif len(decoded) < len(images):
            text = f"{len(decoded):,} of {len(images):,} images are done: run the same command to continue"
            listener(Message(text))
    findings.looked_at(IMAGES, len(decoded), "images")
    _report(findings, [(image, decoded[image.path]) for image in images])
    return {path: entry.sha256 for path, entry in decoded.items() if entry.sha256}


def _decode(root: Path, path: str) -> Decoded:
    """Read one file, and decode it as `clearctl.data.samples.ImageSamples` does."""
    try:
        with open_regular(root / path) as file:
            stat = os.fstat(file.fileno())
            data = file.read()
    except OSError as error:
        return Decoded(path, 0, 0, None, None, None, None, f"cannot be read: {error.strerror}")
    digest = hashlib.sha256(data).hexdigest()
    try:
        with open_image(io.BytesIO(data)) as image:
            (width, height), mode = image.size, image.mode
            image.convert("RGB")
    except Exception as error:  # Pillow raises many kinds: OSError, SyntaxError, ValueError, struct.error
        reason = "cannot be decoded: " + in_one_line(error)
        return Decoded(path, stat.st_size, stat.st_mtime_ns, digest, None, None, None, reason)
    return Decoded(path, stat.st_size, stat.st_mtime_ns, digest, width, height, mode, None)


def _report(findings: DatasetFindings, decoded: Sequence[tuple[Image, Decoded]]) -> None:
    """Faults for what cannot be decoded; notes for what is decoded, but to something unusual."""
    unusual: dict[str, list[Image]] = {}
    for image, entry in decoded:
        if entry.error:
            file = findings.root / image.path
            findings.fault(IMAGES, entry.error, file=file, bucket=image.bucket, class_name=image.class_name)
            continue
        if entry.mode != "RGB":
            unusual.setdefault(f"of mode {entry.mode}, converted to RGB when read", []).append(image)
        if min(entry.width_px or 0, entry.height_px or 0) < TINY_PX:
            unusual.setdefault(f"less than {TINY_PX} px wide or high", []).append(image)
    for what, images in unusual.items():
        first = images[0]
        number = f"{counted(len(images), 'image')} {'is' if len(images) == 1 else 'are'}"
        findings.note(IMAGES, f"{number} {what}, such as {first.path} ({first.place})")
