"""Extracted features against the file lists: rows, labels, dimension, finite numbers.

Needs torch, which is imported only if there are features.
"""

from collections.abc import Sequence
from pathlib import Path

from clearctl import layout
from clearctl.dataset.checks.findings import DatasetFindings
from clearctl.dataset.checks.lists import Listed, Lists
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Listener
from clearctl.wording import counted

FEATURES = "features"


def feature_files(root: Path) -> list[tuple[str, str]]:
    """The (name, bucket) of all existing features, sorted."""
    files = [
        file for name in layout.feature_names(root) for file in layout.features_folder(root, name).glob("*/all.pth")
    ]
    return sorted((file.parent.parent.name, file.parent.name) for file in files)


def check_features(findings: DatasetFindings, lists: Lists, listener: Listener) -> None:
    """Check the features of every name and bucket that has a file list."""
    root = findings.root
    there = feature_files(root)
    findings.looked_at(FEATURES, len(there), "files")
    for name in layout.feature_names(root):
        left = [bucket for bucket in lists.buckets if (name, bucket) not in there]
        if left:
            findings.note(FEATURES, f"the features {name!r} do not cover bucket {', '.join(left)}")
    dimensions: dict[str, dict[str, int]] = {}
    for done, (name, bucket) in enumerate(there, 1):
        if bucket in lists.listed:
            dimension = _check_file(findings, lists, name, bucket)
            if dimension is not None:
                dimensions.setdefault(name, {})[bucket] = dimension
        elif bucket not in lists.unreadable:
            findings.note(FEATURES, f"the features {name!r} include bucket {bucket}, which has no file list")
        listener(Counted("check the features", done, len(there), "files"))
    for name, of_buckets in dimensions.items():
        if len(set(of_buckets.values())) > 1:
            lengths = ", ".join(f"{dimension} in bucket {bucket}" for bucket, dimension in of_buckets.items())
            findings.fault(FEATURES, f"the features {name!r} have several dimensions: {lengths}")


def _check_file(findings: DatasetFindings, lists: Lists, name: str, bucket: str) -> int | None:
    """The dimension of the features of a bucket; None if they cannot be read or are not those of its list."""
    from clearctl.data.features import read_features

    file = layout.features_file(findings.root, name, bucket)
    listed = lists.listed[bucket]
    try:
        x, _ = read_features(findings.root, name, bucket, listed)  # [N, D] float32
    except DatasetError as error:
        findings.error(FEATURES, error, file=file, bucket=bucket)
        return None
    bad = (~x.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if bad:
        what = f"a number that is not finite in {_rows(bad, listed)}"
        findings.fault(FEATURES, what, file=file, bucket=bucket)
    zero = (x == 0).all(dim=1).nonzero().flatten().tolist()
    if zero:
        findings.note(FEATURES, f"only zeros in {_rows(zero, listed)}", file=file, bucket=bucket)
    return int(x.shape[1])


def _rows(rows: Sequence[int], listed: Listed) -> str:
    return f"{counted(len(rows), 'row')} (such as row {rows[0]}, of {listed[rows[0]][0]})"
