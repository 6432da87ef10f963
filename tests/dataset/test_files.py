"""Files that a command is to leave behind: which are kept between the two passes, and which are made again."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clearctl.dataset import files
from clearctl.dataset.files import WantedFile, wanted_bytes, write_files
from clearctl.progress import ignore


class Unit:
    """Three files of ten bytes each in `folder`; `times` counts how often they were made."""

    def __init__(self, folder: Path, *, is_known: bool = True) -> None:
        self.folder = folder
        self.is_known = is_known
        self.times = 0

    def __call__(self) -> Iterator[WantedFile]:
        self.times += 1
        for number in range(3):
            wanted = wanted_bytes(self.folder / f"{number}.txt", f"{number}".encode() * 10)
            yield wanted if self.is_known else WantedFile(wanted.path, wanted.is_in, wanted.write)


def write(units: list[Unit]) -> int:
    """How many files were written, in the one order there is."""
    counts = write_files(units, force=False, dry_run=False, listener=ignore, check="", write="", unit="")
    for unit in units:
        assert [file.read_text() for file in sorted(unit.folder.iterdir())] == ["0" * 10, "1" * 10, "2" * 10]
    return counts.written


@pytest.mark.parametrize(("kept_bytes", "times"), [(60, [1, 1]), (59, [1, 2]), (29, [2, 2]), (0, [2, 2])])
def test_small_files_are_kept_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int, times: list[int]
) -> None:
    monkeypatch.setattr(files, "KEPT_BYTES", kept_bytes)
    units = [Unit(tmp_path / "a"), Unit(tmp_path / "b")]
    assert write(units) == 6
    assert [unit.times for unit in units] == times
    assert write(units) == 0
    assert [unit.times for unit in units] == [before + 1 for before in times]


def test_files_of_unknown_size_are_made_again(tmp_path: Path) -> None:
    unit = Unit(tmp_path / "a", is_known=False)
    assert write([unit]) == 3
    assert unit.times == 2
    (tmp_path / "a" / "1.txt").unlink()
    assert write([unit]) == 1
