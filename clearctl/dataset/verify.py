"""Check a dataset folder, raw and prepared; continues after errors and changes nothing.

The checks, in this order (clearctl/dataset/checks/ has a module for each):

    structure     which labelled folders there are, whether the folder is prepared
    class names   readable, each once, the same in train and test, all that the metadata uses
    metadata      every json readable, every record with a path inside the folder
    file lists    the list of buckets; each file list, alone and against the metadata
    paths         every listed image exists
    overlaps      no image in two buckets or in both train and test, by id, by path and, with `images`, by content
    splits        the four files agree, and train and test share the lines of the file list between them
    features      a row per line, its labels, one dimension, finite numbers
    images        with `images`: every one decodes
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.dataset.checks.features import check_features, feature_files
from clearctl.dataset.checks.findings import Check, DatasetFindings, Finding
from clearctl.dataset.checks.images import check_images
from clearctl.dataset.checks.labels import Image, Labels, read_labels
from clearctl.dataset.checks.lists import images_of, read_lists
from clearctl.dataset.checks.places import check_contents, check_overlaps, check_paths
from clearctl.dataset.checks.splits import check_splits
from clearctl.dataset.decoding import default_jobs
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, ignore
from clearctl.shortrepr import ShortRepr


@dataclass(frozen=True, repr=False)
class VerifyResult(ShortRepr):
    """The result of `verify`.

    `parts` are the labelled folders, relative to `root`: "." in the public layout, "train" and "test" in the later one.
    `buckets` are all that are labelled or have a file list, in numeric order, and
    `images_per_bucket_and_class` is {bucket: {class name: number}} for them, with every class of class_names.txt.
    """

    root: Path
    prepared: bool
    parts: tuple[str, ...]
    class_names: tuple[str, ...]
    images_per_bucket_and_class: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether no fault was found; notes do not count."""
        return not any(finding.severity == "fault" for finding in self.findings)

    @property
    def buckets(self) -> tuple[str, ...]:
        """Their names, in numeric order."""
        return tuple(self.images_per_bucket_and_class)

    @property
    def images_per_bucket(self) -> dict[str, int]:
        """{bucket: number of images}."""
        return {bucket: sum(counts.values()) for bucket, counts in self.images_per_bucket_and_class.items()}


def verify(
    root: Path | str, *, images: bool = False, jobs: int | None = None, listener: Listener = ignore
) -> VerifyResult:
    """Check a dataset folder from its class names to its features; every fault is in the result, none is raised.

    Args:
        root: a dataset folder in the public layout or the later release's, prepared or not.
        images: read and decode every image too, which takes minutes for a whole release.
        jobs: how many images to decode at a time; by default as many as there are processors to use, 16 at most.
        listener: notified of progress.

    Nothing is changed. With `images` what was found out about each file is kept in `.clearctl-verify.jsonl` in `root`,
    if that can be written: a run that is killed continues from there, and the next looks only at files of another
    size or time of change.

    Raises DatasetError for a folder that does not exist or has nothing of CLEAR's, UsageError for `jobs` below 1.
    """
    root = Path(root)
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs {jobs} is not a whole number ≥ 1")
    layout.require_root(root)
    try:
        return _verify(root, images, jobs or default_jobs(), listener)
    except OSError as error:  # a folder that may not be listed, say
        raise DatasetError(f"{error.filename or root} cannot be read: {error.strerror}") from None


def _verify(root: Path, images: bool, jobs: int, listener: Listener) -> VerifyResult:
    findings = DatasetFindings(root)
    labels = read_labels(findings, listener)
    lists = read_lists(findings, labels)
    every = images_of(labels, lists)
    present = check_paths(findings, every, bool(feature_files(findings.root)), listener)
    check_overlaps(findings, every)
    check_splits(findings, labels, lists)
    check_features(findings, lists, listener)
    if images:
        digests = check_images(findings, present, jobs, listener)
        check_contents(findings, present, digests)
    return VerifyResult(
        root,
        bool(lists.buckets),
        tuple(str(part.folder.relative_to(findings.root)) for part in labels.parts),
        labels.class_names,
        _count(labels, every),
        findings.checks(),
        findings.found(),
    )


def _count(labels: Labels, images: Sequence[Image]) -> dict[str, dict[str, int]]:
    """The number of images of each bucket and class: those labelled, or listed if there are no labels."""
    counted = [image for image in images if image.id is not None or not labels.images]
    counts = Counter((image.bucket, image.class_name) for image in counted)
    buckets = dict.fromkeys([*labels.images, *(bucket for bucket, _ in counts)])
    names = dict.fromkeys([*labels.class_names, *(name for _, name in counts)])
    return {bucket: {name: counts[bucket, name] for name in names} for bucket in buckets}
