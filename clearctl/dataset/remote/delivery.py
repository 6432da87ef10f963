"""Delivers one archive to the dataset folder: downloads, checks and unpacks it, and writes a receipt.

    .download/<file>.part, <file>.part.json    the bytes so far, and their source (`origin`)
    .download/<file>                           the whole archive, checked
    .download/<file>.unpacking and others      see `unpack`
    .download/<file>.json                      the receipt: this archive is unpacked here (`Receipt`)

Each step ends with a rename, so a run killed at any moment is resumed by the same calls.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from clearctl import atomic, layout
from clearctl.dataset import unpack
from clearctl.dataset.remote.archives import Archive
from clearctl.dataset.remote.checksum import Checksum, digests
from clearctl.dataset.remote.fetch import fetch
from clearctl.dataset.remote.origin import Origin, read_origin, remove_origin
from clearctl.dataset.remote.patience import Patience
from clearctl.errors import DatasetError
from clearctl.progress import Listener, Message

FOLDER = ".download"


@dataclass(frozen=True)
class Receipt:
    """An archive that was downloaded and unpacked.

    `url` is None if someone put the archive there by hand. `checked` says whose checksums were found right, say
    ("--md5",) or ("X-Linked-ETag",). `top_level` are the names that it put into the dataset folder.
    """

    file: str
    url: str | None
    size_bytes: int
    md5: str
    checked: tuple[str, ...]
    num_files: int
    top_level: tuple[str, ...]


@dataclass(frozen=True)
class CheckedArchive:
    """An archive that is whole and checked; as a receipt before it is unpacked."""

    receipt: Receipt
    contents: unpack.Contents
    received_bytes: int


@dataclass(frozen=True)
class ArchiveInstall:
    """The delivery of one archive to `root`. `md5` is the one that the caller requires."""

    root: Path
    archive: Archive
    url: str
    md5: str | None
    force: bool
    listener: Listener

    @property
    def file(self) -> Path:
        """The path of the whole archive."""
        return self.root / FOLDER / self.archive.file

    @property
    def part(self) -> Path:
        """The path of the part that has been downloaded so far."""
        return self.file.with_name(f"{self.file.name}.part")

    @property
    def receipt_file(self) -> Path:
        """Its record of having been unpacked here."""
        return self.file.with_name(f"{self.file.name}.json")

    def receipt(self) -> Receipt | None:
        """The receipt of the archive that was unpacked here. Raises DatasetError if it is of another one."""
        if self.force or unpack.is_unpacked(self.file):
            return None
        try:
            value = layout.read_json(self.receipt_file)
            lists = {key: tuple(value[key]) for key in ("checked", "top_level")}
            receipt = Receipt(**{**value, **lists})
        except (DatasetError, TypeError, KeyError):
            receipt = None
        if receipt is None or not all(os.path.lexists(self.root / name) for name in receipt.top_level):
            return None
        if self.md5 not in (None, receipt.md5):
            raise DatasetError(
                f"{self.root} was unpacked from another {self.archive.file}: its md5 is {receipt.md5}, "
                f"--md5 says {self.md5}\nuse --force to download it again and replace the files"
            )
        return receipt

    def ready(self, max_bytes: int, patience: Patience) -> CheckedArchive:
        """Download what is missing of the archive, check it, and give it its final name."""
        received = 0
        if not unpack.is_unpacked(self.file):
            unpack.require_absent(self.archive.holds, self.root, self.force)
        if not self.file.exists():
            received = fetch(self.url, self.part, patience, self.listener)
        elif self.part.exists():  # put there by hand in the meantime: what is known of the part says nothing about it
            remove_origin(self.part)
        path = self.file if self.file.exists() else self.part
        origin = read_origin(self.part)
        with self._discarding(path, origin):
            found, checked = self._checksums(path, origin)
            contents = unpack.read_contents(path, max_bytes=max_bytes)
            for own in {FOLDER, layout.lock_file(self.root).name} & {*contents.top_level}:
                raise unpack.BadArchiveError(f"{self.file.name} contains {own}, which clearctl itself writes")
        if path == self.part:
            _rename_whole(self.part, self.file)
        receipt = Receipt(
            file=self.archive.file,
            url=origin.url if origin else None,
            size_bytes=self.file.stat().st_size,
            md5=found,
            checked=checked,
            num_files=contents.num_files,
            top_level=contents.top_level,
        )
        return CheckedArchive(receipt, contents, received)

    def unpack(self, ready: CheckedArchive) -> None:
        """Put its files into the dataset folder, and the receipt next to them."""
        with self._discarding(self.file, read_origin(self.part)):
            unpack.unpack(self.file, ready.contents, self.root, force=self.force, listener=self.listener)
        atomic.write_json(self.receipt_file, asdict(ready.receipt))
        unpack.clear(self.file)

    @contextmanager
    def _discarding(self, path: Path, origin: Origin | None) -> Iterator[None]:
        """Delete an invalid archive, unless someone put it there by hand; the next call would only find it again."""
        try:
            yield
        except unpack.BadArchiveError as error:
            if origin is None:
                raise DatasetError(f"{error}\nput another file at {path}, or remove it to download it again") from None
            path.unlink()
            remove_origin(self.part)
            raise DatasetError(
                f"{error}\nit was deleted and not unpacked: run this again, or use a mirror with --url BASE"
            ) from None

    def _checksums(self, path: Path, origin: Origin | None) -> tuple[str, tuple[str, ...]]:
        """The md5 of the archive, and whose checksums it agrees with. Raises BadArchiveError if it does not."""
        expected = origin.checksums if origin else ()
        if self.md5:
            expected = (Checksum("md5", self.md5, "--md5"),)
        wanted = [*expected, *_recorded(self.archive)]
        found = digests(path, {"md5", *(checksum.algorithm for checksum in wanted)}, self.listener)
        for checksum in expected:
            digest = found[checksum.algorithm]
            if digest != checksum.digest:
                raise unpack.BadArchiveError(
                    f"{self.archive.file}: the {checksum.algorithm} is {digest}, "
                    f"expected {checksum.digest} ({checksum.source})"
                )
        known = []
        for checksum in () if self.md5 else _recorded(self.archive):
            digest = found[checksum.algorithm]
            if digest == checksum.digest:
                known.append(checksum)
                continue
            text = f"{self.archive.file}: the {checksum.algorithm} is {digest}, {checksum.source} is {checksum.digest}"
            self.listener(Message(f"{text}: it may be a newer file", warning=True))
        return found["md5"], tuple(checksum.source for checksum in (*expected, *known))


def _recorded(archive: Archive) -> list[Checksum]:
    """The published checksums of the archive, as recorded by others."""
    noted = (("md5", archive.md5, "Renate's md5"), ("sha256", archive.sha256, "the hub's sha256 of 2026"))
    return [Checksum(algorithm, digest, source) for algorithm, digest, source in noted if digest is not None]


def _rename_whole(part: Path, final: Path) -> None:
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(final)
