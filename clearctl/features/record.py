"""extraction.json: how features were extracted, and which buckets are done, so that extractions are never mixed.

training_folder/features/<name>/extraction.json
    settings   what the numbers follow from: arch, arguments, weights, transform, precision, exact, compile, device
    about      what is worth knowing besides: where the weights came from, library versions, the device's name and its
               GPU's driver, and on a CPU torch's threads, since the last bits depend on their number
    dimension  D
    buckets    {bucket: {"rows", "filelist_sha256", "sha256", "cached"}} of each bucket that is done; sha256 is of its
               all.pth, and `cached` of its images were read from the image cache, which changes no bit
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.atomic import write_json
from clearctl.digest import file_sha256
from clearctl.errors import DatasetError
from clearctl.schema import Schema, misfit

THREADS = "torch_threads"
# The entries that a network is built from again, and that its weights are compared with.
NETWORK: Schema = {
    "settings": {
        "arch": str,
        "arguments": dict,
        "weights_sha256": str,
        "transform": [dict],
        "precision": str,
        "exact?": bool,
        "compile?": bool,
    },
    "about?": {"weights?": {"from?": str, "file?": str, "prefix?": str, "left_random?": [str]}},
    "dimension": int,
}
# The values of settings that older files, from before there was a choice, do not name.
_UNNAMED = {"compile": False, "exact": False}


@dataclass
class ExtractionRecord:
    """The extraction `name` of a dataset folder as in extraction.json, or is to have it."""

    root: Path
    name: str
    settings: dict[str, Any]
    about: dict[str, Any]
    dimension: int
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def threads(self) -> int | None:
        """torch's threads when the extraction began; None if unknown or without effect."""
        threads = self.about.get(THREADS)
        return threads if isinstance(threads, int) and threads > 0 else None

    @property
    def file(self) -> Path:
        """Its path."""
        return layout.extraction_file(self.root, self.name)

    def is_done(self, bucket: str) -> bool:
        """Whether the bucket's features exist, are intact, and belong to the current file list."""
        entry = self.buckets.get(bucket)
        features = layout.features_file(self.root, self.name, bucket)
        return (
            entry is not None
            and features.is_file()
            and entry.get("filelist_sha256") == sha256(layout.filelist_file(self.root, bucket))
            and entry.get("sha256") == sha256(features)
        )

    def add(self, bucket: str, rows: int, filelist_sha256: str | None, cached: int = 0) -> None:
        """Note that the bucket's all.pth exists, of the file list with that digest. Raises OSError.

        `cached` of its images were not decoded for it.
        """
        self.buckets[bucket] = {
            "rows": rows,
            "filelist_sha256": filelist_sha256,
            "sha256": sha256(layout.features_file(self.root, self.name, bucket)),
            "cached": cached,
        }
        self.write()

    def write(self) -> None:
        """Write extraction.json whole. Raises OSError."""
        write_json(
            self.file,
            {
                "settings": self.settings,
                "about": self.about,
                "dimension": self.dimension,
                "buckets": dict(sorted(self.buckets.items(), key=lambda item: int(item[0]))),
            },
        )


def resume_or_start(wanted: ExtractionRecord, *, force: bool) -> ExtractionRecord:
    """The record to continue with: that of an earlier run with the same settings, else `wanted` itself.

    Raises DatasetError, naming what differs, if features of that name were extracted differently, or it is unknown how;
    with `force` they are to be replaced.
    """
    folder = layout.features_folder(wanted.root, wanted.name)
    made = sorted(path.parent.name for path in folder.glob("*/all.pth"))
    if not (wanted.file.exists() or made):
        return wanted
    if force:
        return _same_make(wanted) or wanted
    if not wanted.file.exists():
        raise DatasetError(
            f"{folder} already contains features, but no {wanted.file.name} that says how they were extracted\n"
            "choose another --name, or replace them with --force"
        )
    before = layout.read_json(wanted.file)
    if not isinstance(before, dict) or not all(isinstance(before.get(key), dict) for key in ("settings", "buckets")):
        raise DatasetError(f"{wanted.file} does not say how the features were extracted\nreplace them with --force")
    was, now = _UNNAMED | before["settings"], _UNNAMED | wanted.settings
    differences = [
        f"{key} was {was.get(key)!r}, is now {now.get(key)!r}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]
    if differences:
        raise DatasetError(
            f"the features {wanted.name!r} in {folder.parent} were extracted differently: {'; '.join(differences)}\n"
            "choose another --name, or replace them with --force"
        )
    about, done = dict(wanted.about), _entries(before["buckets"])
    if done and THREADS in about and isinstance(before.get("about"), dict):
        about[THREADS] = before["about"].get(THREADS)
    return ExtractionRecord(wanted.root, wanted.name, wanted.settings, about, wanted.dimension, done)


def _same_make(wanted: ExtractionRecord) -> ExtractionRecord | None:
    """The record there if its settings are the wanted ones: with --force too, a killed extraction continues."""
    try:
        return resume_or_start(wanted, force=False)
    except DatasetError:
        return None


def _entries(buckets: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The valid entries of buckets; a bucket without one is not done."""
    return {name: entry for name, entry in buckets.items() if layout.is_bucket_name(name) and isinstance(entry, dict)}


def sha256(file: Path) -> str | None:
    """The digest of a file's bytes; None if there is none. Raises DatasetError."""
    try:
        return file_sha256(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{file} cannot be read: {error.strerror}") from None


def read_extraction(root: Path, name: str) -> dict[str, Any] | None:
    """The settings of the features `name` from extraction.json: {"settings", "about": {"weights"}, "dimension"}.

    None if there is no such file, as for features that a release ships, or if it does not say it.
    """
    try:
        record = layout.read_json(layout.extraction_file(root, name))
    except DatasetError:
        return None
    if misfit(record, NETWORK) is not None:
        return None
    weights = (record.get("about") or {}).get("weights")
    return {"settings": record["settings"], "about": {"weights": weights}, "dimension": record["dimension"]}
