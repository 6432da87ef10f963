"""`clearctl download` as a user meets it; the server is a real one on the loopback device."""

import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile

import pytest
from conftest import make_clear_folder
from halting import until
from mirror import CHUNK_BYTES, Mirror
from typer.testing import CliRunner
from warm import deliver_sigint, run_on_terminal

from clearctl.cli import app
from clearctl.cli.console import Output
from clearctl.cli.progress import Display
from clearctl.progress import Counted

PUBLIC = "clear10-public.zip"


def clearctl(*arguments: object, **environment: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The archive of a release, of 3 MB."""
    folder = make_clear_folder(tmp_path_factory.mktemp("published") / "clear")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
        archive.writestr("unlabelled.bin", random.Random(0).randbytes(3_000_000))
    return buffer.getvalue()


@pytest.fixture
def mirror(data):
    with Mirror({PUBLIC: data}) as serving:
        yield serving


@pytest.fixture
def root(tmp_path):
    return tmp_path / "with space"


def test_download_then_prepare_as_it_says(mirror, root, data):
    md5 = hashlib.md5(data).hexdigest()
    first = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url, "--md5", md5)
    assert first.exit_code == 0, first.stderr
    assert first.stdout.splitlines() == [
        f"{PUBLIC}: unpacked, 75 files, md5 {md5} (checked: --md5)",
        f"next: clearctl prepare-avalanche --dataset-root '{root}'",
    ]
    assert "3.1 MB came in" in first.stderr
    assert "MB/s" in first.stderr
    assert clearctl("prepare-avalanche", "--dataset-root", root).exit_code == 0
    again = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url)
    assert again.stdout.splitlines()[0] == f"{PUBLIC}: up to date, 75 files, md5 {md5} (checked: --md5)"
    assert again.stderr == ""
    assert len(mirror.log) == 1


def test_json(mirror, root, data):
    result = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url, "--json")
    assert json.loads(result.stdout) == {
        "root": str(root),
        "dataset_root": str(root),
        "name": "clear10",
        "release": "public",
        "received_bytes": len(data),
        "archives": [
            {
                "file": PUBLIC,
                "url": f"{mirror.url}/{PUBLIC}",
                "size_bytes": len(data),
                "md5": hashlib.md5(data).hexdigest(),
                "checked": [],
                "files": 75,
                "top_level": [
                    "class_names.txt",
                    "labeled_images",
                    "labeled_metadata",
                    "labeled_metadata.json",
                    "unlabelled.bin",
                ],
                "new": True,
            }
        ],
    }


def test_the_folder_follows_the_name_and_the_environment(mirror, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    mirror.files["clear100-workshop-avalanche.zip"] = data
    result = clearctl("download", "clear100", "--url", mirror.url)
    assert result.stdout.splitlines()[-1] == "next: clearctl prepare-avalanche --dataset-root dataset/CLEAR-100-PUBLIC"
    assert (tmp_path / "dataset/CLEAR-100-PUBLIC/class_names.txt").exists()
    result = clearctl("download", "clear10", "--url", mirror.url, CLEARCTL_DATASET_ROOT="elsewhere")
    assert result.stdout.splitlines()[-1] == "next: clearctl prepare-avalanche"


def test_an_archive_of_something_else(mirror, root):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("cats/1.jpg", b"x")
    mirror.files[PUBLIC] = buffer.getvalue()
    result = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url)
    assert result.exit_code == 0
    assert f"warning: {root} has no CLEAR folder" in result.stderr
    assert "next:" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        ([], 2, "NAME"),
        (["clear11"], 2, "no dataset is called 'clear11': expected clear10 or clear100"),
        (["clear10", "--release", "all"], 2, "--release all: expected public, image-only, full"),
        (["clear10", "--url", "ftp://host/"], 2, "--url ftp://host/: expected the address"),
        (["clear10", "--md5", "12"], 2, "--md5 12: an md5 has 32 hexadecimal digits"),
        (["clear10", "--md5", "a=1", "--md5", "a=2"], 2, "expected FILE=HEX, once for each file"),
        (["clear10", "--md5", "1", "--md5", "a=2"], 2, "expected FILE=HEX, once for each file"),
        (["clear10", "--release", "full", "--md5", "0" * 32], 2, "this release has several files"),
        (["clear10", "--max-hours", "-1"], 2, "--max-hours -1.0: expected a number of hours"),
        (["clear10", "--max-hours", "nan"], 2, "--max-hours nan: expected a number of hours"),
        (["clear10", "--url", "http://127.0.0.1:9/clear"], 6, "http://127.0.0.1:9/clear/clear10-public.zip cannot be"),
    ],
)
def test_wrong_arguments(arguments, code, reported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = clearctl("download", *arguments)
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_longest_time_is_kept_to_and_what_came_stays(mirror, root):
    command = ("download", "clear10", "--dataset-root", root, "--url", mirror.url)
    result = clearctl(*command, "--max-hours", 0)
    assert result.exit_code == 6
    assert "it is not complete after 0 hours" in result.stderr
    assert (root / f".download/{PUBLIC}.part").stat().st_size > 0
    assert clearctl(*command).exit_code == 0
    assert mirror.log[-1].range is not None


def test_a_bad_archive(mirror, root):
    mirror.files[PUBLIC] = b"nothing"
    result = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url)
    assert result.exit_code == 4
    assert f"error: {PUBLIC} is not a complete zip archive" in result.stderr
    assert result.stdout == ""


def test_an_interruption_says_that_the_same_command_continues(mirror, root, data):
    mirror.stall_after = 600_000
    part = root / f".download/{PUBLIC}.part"
    command = [sys.executable, "-m", "clearctl", "download", "clear10", "--dataset-root", root, "--url", mirror.url]
    # Where the tests run in the background, a shell has had them, and what they start, ignore the signal.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=deliver_sigint,
    )
    until(lambda: part.exists() and part.stat().st_size > 500_000, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, "")
    assert stderr.splitlines()[-1] == "interrupted: the received part is on disk; the same command continues"
    here = part.stat().st_size
    assert data.startswith(part.read_bytes())
    mirror.stall_after = None
    result = clearctl("download", "clear10", "--dataset-root", root, "--url", mirror.url)
    assert result.exit_code == 0, result.stderr
    assert mirror.sent[-1] == (f"bytes={here}-", 206, len(data) - here)


def test_on_a_terminal_there_is_a_bar_with_the_rate(mirror, root):
    drawn = {b"2/4 MB": threading.Event(), b" MB/s": threading.Event()}
    half, rate = drawn.values()
    part = root / f".download/{PUBLIC}.part"
    printed = b""
    seconds = iter([1.0])

    def pace(sent_bytes: int) -> None:
        """What came is reported ten times a second at most, and the rate after a second."""
        if sent_bytes < 2_000_000 or rate.is_set():
            return
        until(lambda: part.exists() and part.stat().st_size > sent_bytes - CHUNK_BYTES)
        if sent_bytes > 2_500_000:
            half.wait()
        if sent_bytes > 2_900_000:
            rate.wait()
        time.sleep(next(seconds, 0.1) if half.is_set() else 0.1)

    def read(more: bytes) -> None:
        nonlocal printed
        printed += more
        for text, event in drawn.items():
            if text in printed:
                event.set()

    mirror.pace = pace
    code, text = run_on_terminal(["download", "clear10", "--dataset-root", root, "--url", mirror.url], read)
    assert code == 0, text
    assert "━" in text
    assert f"download {PUBLIC}" in text
    assert "2/4 MB" in text
    assert " MB/s" in text.split("came in")[0]  # in the bar, before the line at the end


class Clock:
    """Stands in for the seconds that a test does not want to wait."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr("clearctl.cli.progress.time.monotonic", lambda: self.now)


def test_off_a_terminal_there_is_a_line_every_ten_seconds_with_the_rate(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with Display(Output()) as display:
        for second in range(31):
            clock.now = 1000.0 + second
            # at 12 s the server cannot continue, and it starts over
            display.show(
                Counted("download f.zip", 100 + 20 * second if second < 12 else 20 * (second - 12), 1000, "MB")
            )
    assert capsys.readouterr().err.splitlines() == [
        "download f.zip: 300/1,000 MB  20.0 MB/s  35.0 s left",
        "download f.zip: 160/1,000 MB  20.0 MB/s  42.0 s left",
        "download f.zip: 360/1,000 MB  20.0 MB/s  32.0 s left",
    ]


def test_a_rate_too_small_to_say_is_left_out(monkeypatch, capsys):
    clock = Clock(monkeypatch)
    with Display(Output()) as display:
        display.show(Counted("check", 0, 3, "buckets"))
        clock.now += 60
        display.show(Counted("check", 1, 3, "buckets"))
    assert capsys.readouterr().err.splitlines() == ["check: 1/3 buckets  2 min 00 s left"]
