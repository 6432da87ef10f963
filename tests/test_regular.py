"""Nothing but a regular file is read, so that no command waits for a pipe or reads a device without end."""

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import clearctl
from clearctl import layout, prepare_avalanche, rundir
from clearctl.dataset.verify import verify
from clearctl.errors import DatasetError, RunError
from clearctl.regular import open_regular, read_bytes, read_text

PACKAGE = Path(clearctl.__file__).parent

# Files that are no user's: of the kernel, or of the process that reads them.
OWN = {
    "cgroups.py",
    "data/cache/memory.py",
    "dataset/remote/delivery.py",
    "atomic.py",
    "sweep/worker_pool.py",
    "demo/steps.py",
}


def _socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)  # a socket's name may have no more than 107 characters
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(before)


KINDS: dict[str, Callable[[Path], None]] = {
    "a named pipe": os.mkfifo,
    "a socket": _socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_regular_file_is_named(kind: str, tmp_path: Path) -> None:
    KINDS[kind](tmp_path / "file")
    for read in (open_regular, read_bytes, read_text):
        with pytest.raises(OSError, match=f"found {kind}, expected a regular file") as caught:
            read(tmp_path / "file")
        assert caught.value.filename == str(tmp_path / "file")


def test_a_folder_or_nothing_is_refused_as_python_does(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "file")


def test_a_file_and_a_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\r\nb\rc\n\xc3\xa9")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert read_bytes(tmp_path / "link") == b"a\r\nb\rc\n\xc3\xa9"
    assert read_text(tmp_path / "link") == "a\nb\nc\né"
    with pytest.raises(UnicodeDecodeError):
        read_text(tmp_path / "link", "ascii")


def test_pipes_in_a_dataset_are_faults(clear_folder: Callable[..., Path]) -> None:
    root = clear_folder()
    prepare_avalanche(root, test_ratio=0)
    image = next(root.rglob("*.jpg"))
    image.unlink()
    os.mkfifo(image)
    faults = [finding.text for finding in verify(root, images=True).findings if finding.severity == "fault"]
    assert [text.partition(" (")[0] for text in faults] == [f"{image.relative_to(root)}: missing"]
    names = layout.class_names_file(root)
    names.unlink()
    os.mkfifo(names)
    with pytest.raises(DatasetError, match="class_names.txt cannot be read: .*found a named pipe"):
        layout.read_class_names(root)


@pytest.mark.parametrize("name", ["config.py", "environment.json", "eval.json", "accuracy_matrix.csv"])
def test_pipes_in_a_run_folder_are_faults(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    reads = {
        "config.py": rundir.read_config,
        "environment.json": rundir.read_environment,
        "eval.json": rundir.read_eval,
        "accuracy_matrix.csv": rundir.read_matrix,
    }
    with pytest.raises(RunError, match=f"{name} .*found a named pipe, expected a regular file"):
        reads[name](tmp_path)


def test_no_module_opens_a_users_file_by_itself() -> None:
    reading = re.compile(r"""(?<!regular)\.read_(text|bytes)\(|open\("rb"\)|\bopen\([^)"]*, "rb"|\.open\(\s*encoding""")
    places = {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if reading.search(path.read_text())
    }
    assert places - OWN == {"regular.py"}
    assert places >= OWN - {"demo/steps.py"}
