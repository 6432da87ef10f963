"""The data that the parts share, made while the first of them run."""

from benchmarks.folders import CLASSES, SIZE_PX, feature_folder, image_folder
from benchmarks.gpu.check import NARROW, WIDE, WIDE_SMALL, Check
from benchmarks.gpu.findings import Findings
from clearctl import prepare_avalanche

APART = {"wide": 0.1, "narrow": 0.25}  # of the narrow ones a linear head gets two thirds right


def make_features(check: Check, findings: Findings) -> None:
    """Wide features for times, narrow ones for accuracies."""
    for root, sizes in ((check.narrow, NARROW), (check.wide, WIDE_SMALL if check.small else WIDE)):
        feature_folder(root, *sizes, apart=APART[root.name])
        findings.figure(root.name, sizes)


def make_images(check: Check, findings: Findings) -> None:
    """JPEGs of 11 classes in two buckets, prepared: 1,408 images per bucket, or 44."""
    each = check.of(128, 4)
    size_px = (120, 90) if check.small else SIZE_PX
    image_folder(check.images, each * CLASSES, buckets=2, classes=CLASSES, size_px=size_px)
    prepare_avalanche(check.images, seeds=[0])
    findings.figure("images", 2 * each * CLASSES)
