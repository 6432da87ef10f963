"""SHA256SUMS: what it holds, that sha256sum reads it, and that no kill leaves a file with the line of other bytes."""

import contextlib
import hashlib
import subprocess
from pathlib import Path

import pytest

from clearctl.checksums import read_sums, sums_file, write_summed


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(folder: Path) -> str:
    """What `sha256sum -c` prints where every file has its sum."""
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout


def test_each_file_has_a_line_in_the_order_of_the_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 2):
        write_summed(tmp_path / f"exp_{number}.pth", f"{number}".encode())
    assert check(tmp_path) == "exp_2.pth: OK\nexp_9.pth: OK\nexp_10.pth: OK\n"
    assert read_sums(tmp_path) == {f"exp_{number}.pth": sha256(f"{number}".encode()) for number in (2, 9, 10)}


def test_a_file_that_is_written_again(tmp_path: Path) -> None:
    for data in (b"one", b"other"):
        write_summed(tmp_path / "a", data)
        write_summed(tmp_path / "b", b"b")
    assert read_sums(tmp_path) == {"a": sha256(b"other"), "b": sha256(b"b")}


def test_the_same_bytes_again_change_no_sums(tmp_path: Path) -> None:
    write_summed(tmp_path / "a", b"one")
    before = sums_file(tmp_path).stat().st_ino
    write_summed(tmp_path / "a", b"one")
    assert sums_file(tmp_path).stat().st_ino == before


def test_lines_of_files_that_were_removed_go(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_summed(tmp_path / name, b"one")
    (tmp_path / "a").unlink()
    write_summed(tmp_path / "c", b"one")
    assert check(tmp_path) == "b: OK\nc: OK\n"


def test_other_lines_are_passed_over(tmp_path: Path) -> None:
    digest = sha256(b"")
    sums_file(tmp_path).write_bytes(f"{digest} *a\n{digest[:-1]}  b\n\n# {digest}  c\n".encode() + b"\xff\0\n")
    assert read_sums(tmp_path) == {"a": digest}
    assert read_sums(tmp_path / "none") == {}


class Killed(BaseException):
    """Nothing after it is done."""


@pytest.mark.parametrize("others", [(), ("exp_1.pth",)])
def test_a_kill_between_any_two_steps(others: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the three files that are written where a checkpoint is written again with other bytes, and of the removal."""
    steps = [0]
    replace, unlink = Path.replace, Path.unlink

    def halting(real, last):
        def halt(path, *given, **named):
            if steps[0] == last[0]:
                raise Killed
            if not path.name.endswith(".tmp") or real is replace:
                steps[0] += 1
            return real(path, *given, **named)

        return halt

    last = [-1]
    monkeypatch.setattr(Path, "replace", halting(replace, last))
    monkeypatch.setattr(Path, "unlink", halting(unlink, last))
    seen = set()
    for number in range(4):
        folder = tmp_path / f"{number}"
        last[0] = -1
        for name in (*others, "exp_2.pth"):
            write_summed(folder / name, b"first")
        steps[0], last[0] = 0, number
        with contextlib.suppress(Killed):
            write_summed(folder / "exp_2.pth", b"second")
        last[0] = -1
        data = (folder / "exp_2.pth").read_bytes()
        line = read_sums(folder).get("exp_2.pth")
        assert line in (None, sha256(data))
        seen.add((data, line is None))
        write_summed(folder / "exp_2.pth", b"second")  # as a resumed run does
        assert check(folder) == "".join(f"{name}: OK\n" for name in (*others, "exp_2.pth"))
        for left in folder.glob(".*.tmp"):
            left.unlink()
        assert sorted(path.name for path in folder.iterdir()) == ["SHA256SUMS", *others, "exp_2.pth"]
    assert seen == {(b"first", False), (b"first", True), (b"second", True), (b"second", False)}
