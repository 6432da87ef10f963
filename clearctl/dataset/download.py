"""Download a release of CLEAR from its authors' servers, check it, and unpack it into the dataset folder.

All of it happens in `.download` inside the dataset folder (`remote.delivery`), step by step, each ending with a rename:
a run killed at any moment is resumed by the same call.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from clearctl import layout
from clearctl.dataset import unpack
from clearctl.dataset.files import dataset_lock
from clearctl.dataset.remote.archives import Archive, base_url, default_root, find_archives, other_releases
from clearctl.dataset.remote.checksum import is_md5
from clearctl.dataset.remote.delivery import FOLDER, ArchiveInstall, CheckedArchive, Receipt
from clearctl.dataset.remote.fetch import NotFoundError
from clearctl.dataset.remote.origin import read_origin, remove_origin
from clearctl.dataset.remote.patience import PATIENCE, Patience
from clearctl.errors import CapabilityError, DatasetError, UsageError
from clearctl.progress import Listener, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.units import megabytes


@dataclass(frozen=True, repr=False)
class DownloadResult(ShortRepr):
    """The result of `download`.

    `archives` are in the order of the release, with those that were here before; `new` are the files of those that
    were not, and `received_bytes` the bytes downloaded in this call. `dataset_root` is the folder to prepare,
    which is `root` or a folder from the archive; None if there is no CLEAR folder.
    """

    root: Path
    dataset_root: Path | None
    archives: tuple[Receipt, ...]
    new: tuple[str, ...]
    received_bytes: int


def download(
    name: str,
    root: Path | str | None = None,
    *,
    release: str = "public",
    url: str | None = None,
    md5: str | Mapping[str, str] | None = None,
    force: bool = False,
    keep_archive: bool = False,
    max_unpacked_bytes: int = unpack.MAX_UNPACKED_BYTES,
    patience: Patience = PATIENCE,
    listener: Listener = ignore,
) -> DownloadResult:
    """Download a release of CLEAR into the dataset folder `root`.

    Args:
        name: "clear10" or "clear100".
        root: the dataset folder; `archives.default_root` when None.
        release: "public", the folder of the papers; or the later release, which is already split into train and test,
            as
            "image-only" or as "full", with features and the metadata of unlabelled images.
        url: where the files of the release are, for a mirror; the authors' place on Hugging Face when None.
        md5: what the archive must have, or {file: md5} for a release of two. When None, whatever the server declares
            is checked: an md5 or sha256 in its headers.
        force: replace existing files, and download again what was already unpacked.
        keep_archive: leave the archives in `.download`. One put there by hand is left anyhow.
        max_unpacked_bytes: an archive that declares more is refused.
        patience: timeouts, retries, the lowest rate.
        listener: notified of MB downloaded and checked, of files unpacked, and of every start over.

    An archive that someone put into `.download` by hand is used. A second run does nothing.

    Raises UsageError for arguments that make no sense; CapabilityError if the server cannot be reached, refuses, is
    too slow, or breaks off too often; DatasetError for an archive that is not whole, has another checksum or holds
    what is not allowed, for existing files, if the disk has no room, and while another command changes the
    folder. Downloaded parts stay for the next call, except for an invalid archive.
    """
    archives = find_archives(name, release)
    wanted = _wanted_md5(md5, archives)
    base = base_url(url)
    root = default_root(name, release) if root is None else Path(root)
    with _writing(root), dataset_lock(root):
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        jobs = [
            ArchiveInstall(root, archive, f"{base}/{archive.file}", wanted.get(archive.file), force, listener)
            for archive in archives
        ]
        try:
            return _fetch_and_unpack(root, jobs, keep_archive, max_unpacked_bytes, patience)
        except NotFoundError as error:
            others = ", ".join(f"--release {other}" for other in other_releases(name, release))
            raise CapabilityError(f"{error}; or use another release of {name}: {others}") from None


def _fetch_and_unpack(
    root: Path, jobs: Sequence[ArchiveInstall], keep_archive: bool, max_bytes: int, patience: Patience
) -> DownloadResult:
    """All archives are here and checked before the first is unpacked, and unpacked before the first is removed."""
    before = [job.receipt() for job in jobs]
    new = [job for job, receipt in zip(jobs, before, strict=True) if receipt is None]
    ready = {job.archive.file: job.ready(max_bytes, patience) for job in new}
    _refuse_overlap(list(ready.values()))
    for job in new:
        job.unpack(ready[job.archive.file])
    receipts = [receipt or ready[job.archive.file].receipt for job, receipt in zip(jobs, before, strict=True)]
    for job in jobs:
        # An archive that was put there by hand, or kept before, stays.
        if not keep_archive and read_origin(job.part):
            job.file.unlink(missing_ok=True)
        remove_origin(job.part)
    return DownloadResult(
        root,
        _find_dataset(root, [name for receipt in receipts for name in receipt.top_level]),
        tuple(receipts),
        tuple(ready),
        sum(of_one.received_bytes for of_one in ready.values()),
    )


def _refuse_overlap(ready: Sequence[CheckedArchive]) -> None:
    """Raise DatasetError if two archives contain the same name: with --force the second would replace the first."""
    for number, one in enumerate(ready):
        for other in ready[:number]:
            if shared := set(one.receipt.top_level) & set(other.receipt.top_level):
                raise DatasetError(
                    f"{one.receipt.file} and {other.receipt.file} both hold {', '.join(sorted(shared))}\n"
                    "they cannot be unpacked into one folder: use another mirror with --url BASE"
                )


def _find_dataset(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `root` and the folders in it that is a CLEAR folder."""
    for folder in (root, *(root / name for name in names)):
        with suppress(DatasetError):
            layout.labeled_folders(folder)
            return folder
    return None


def _wanted_md5(md5: str | Mapping[str, str] | None, archives: Sequence[Archive]) -> dict[str, str]:
    """{file: md5}. Raises UsageError."""
    files = [archive.file for archive in archives]
    if isinstance(md5, str):
        if len(files) > 1:
            raise UsageError(
                f"--md5 {md5}: this release has several files: give --md5 FILE=HEX for {' or '.join(files)}"
            )
        md5 = {files[0]: md5}
    wanted = {file: digest.lower() for file, digest in (md5 or {}).items()}
    for file, digest in wanted.items():
        if file not in files:
            raise UsageError(f"--md5 {file}={digest}: this release has {' and '.join(files)}")
        if not is_md5(digest):
            raise UsageError(f"--md5 {digest}: an md5 has 32 hexadecimal digits")
    return wanted


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Turn OSError into DatasetError; remove the folders that were made and are empty at the end."""
    new = [folder for folder in (root / FOLDER, root, *root.parents) if not folder.exists()]
    try:
        yield
    except OSError as error:
        where = error.filename or root
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = megabytes(shutil.disk_usage(root).free)
            raise DatasetError(
                f"{where} cannot be written: {error.strerror} ({free:,} MB are free)\n"
                "free some space and run this again: the download continues"
            ) from None
        raise DatasetError(f"{where} cannot be read or written: {error.strerror}") from None
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()
