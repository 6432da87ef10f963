"""Links or copies images of one dataset folder into another."""

import errno
import filecmp
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from clearctl.atomic import write_with
from clearctl.dataset.files import WantedFile
from clearctl.errors import DatasetError

IMAGE_MODES = ("link", "hardlink", "copy")
PROBE = ".rebuild.probe"
_REFUSALS = (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP)


@dataclass(frozen=True)
class Images:
    """Images by `mode`, one of IMAGE_MODES."""

    mode: str
    # The real path of each folder, looked up once however many images it holds.
    _folders: dict[str, str] = field(default_factory=dict, compare=False)

    def wanted(self, path: Path, source: Path) -> WantedFile:
        """The image `source`, requested as `path`. Writing raises DatasetError if links cannot be made."""
        if self.mode == "copy":
            return WantedFile(path, lambda there: filecmp.cmp(there, source), lambda new: _copy(source, new))
        real = self._real(source)
        if self.mode == "hardlink":
            return WantedFile(path, lambda there: os.path.samefile(there, real), lambda new: _link(real, new))
        # Relative, so that a source and a folder made from it may be moved together, or be seen from elsewhere.
        target = os.path.relpath(real, self._real_folder(path))
        return WantedFile(path, lambda there: _leads_to(there, target), lambda new: _symlink(target, new))

    def check(self, folder: Path, source: Path) -> None:
        """Raise DatasetError if images such as `source` cannot be linked from the new folder; leaves nothing there.

        To be asked before the folder is started, so that it may be made in another way instead.
        """
        if self.mode == "copy":
            return
        probe = folder / PROBE
        try:
            probe.unlink(missing_ok=True)
            self.wanted(probe, source).write(probe)
            probe.unlink()
        except OSError as error:
            raise DatasetError(f"{folder} cannot be written: {error.strerror}") from None

    def _real(self, image: Path) -> str:
        """The image itself if it is a link, such as one in a rebuilt folder, which may be removed later."""
        if image.is_symlink():
            return os.path.realpath(image)
        return os.path.join(self._real_folder(image), image.name)

    def _real_folder(self, image: Path) -> str:
        folder = os.path.dirname(image)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]


def _leads_to(path: Path, target: str) -> bool:
    if not path.is_symlink():
        path.stat()  # FileNotFoundError is not a fault here
        return False
    return os.readlink(path) == target


def _symlink(target: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.symlink(target, path)
    except OSError as error:
        raise _refused(path, f"a link to {target}", "copy", error) from None


def _link(source: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, path)
    except OSError as error:
        raise _refused(path, f"a hard link to {source}", "link or copy", error) from None


def _copy(source: Path, path: Path) -> None:
    def copy(temporary: Path) -> None:
        shutil.copyfile(source, temporary)
        # By its time a later run knows it without reading it.
        times = source.stat()
        os.utime(temporary, ns=(times.st_atime_ns, times.st_mtime_ns))

    write_with(path, copy)


def _refused(path: Path, what: str, instead: str, error: OSError) -> Exception:
    """The exception to raise for a link that could not be made: `error` itself if the disk is full, say."""
    if error.errno not in _REFUSALS:
        return error
    return DatasetError(f"{path} cannot be {what}: {error.strerror}\nuse --images {instead}")
