"""Decoding every image: what is reported, and that a killed run continues and a second one is quick."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from clearctl import prepare_avalanche
from clearctl.dataset.checks.journal import FILE_NAME
from clearctl.dataset.verify import verify
from clearctl.progress import Counted, Message

WORK = "decode the images"


@pytest.fixture
def root(clear_folder) -> Path:
    """108 images of 40 px in 3 buckets and 3 classes, no two with the same bytes."""
    folder = clear_folder(images=12, size_px=40)
    prepare_avalanche(folder, test_ratio=0)
    return folder


def camera(root: Path, bucket: int = 1) -> list[str]:
    records = json.loads((root / f"labeled_metadata/{bucket}/camera.json").read_text())
    return [record["IMG_PATH"] for record in records.values()]


def look(root: Path, **arguments: object):
    return verify(root, images=True, **arguments)


def reported(root: Path) -> list[tuple[str, str, str]]:
    return [(finding.severity, finding.check, finding.text) for finding in look(root).findings]


def entries(root: Path) -> list[dict[str, object]]:
    """The images of the journal, one for each time that one was looked at."""
    lines = [json.loads(line) for line in (root / FILE_NAME).read_text().splitlines()]
    return [line for line in lines if "path" in line]


def looked_at(root: Path, **arguments: object) -> int:
    """How many images a run decodes itself, by its events."""
    events: list[object] = []
    look(root, listener=events.append, **arguments)
    done = [event.done for event in events if isinstance(event, Counted) and event.work == WORK]
    assert done == sorted(done)
    assert done[-1] == 108
    return done[-1] - done[0]


@pytest.mark.parametrize("jobs", [1, 3])
def test_sound_images(root, jobs):
    result = look(root, jobs=jobs)
    assert result.findings == ()
    assert (result.checks[-1].name, result.checks[-1].looked_at) == ("images", 108)
    assert sorted(entry["path"] for entry in entries(root)) == sorted(
        str(path.relative_to(root)) for path in root.rglob("*.jpg")
    )


def test_images_that_cannot_be_decoded(root):
    truncated, text, empty, *_ = camera(root)
    (root / truncated).write_bytes((root / truncated).read_bytes()[:-300])
    (root / text).write_text("<html>404</html>")
    (root / empty).write_bytes(b"")
    place = "(bucket 1, class 'camera')"
    severities, checks, texts = zip(*reported(root), strict=True)
    assert severities == ("fault",) * 3
    assert checks == ("images",) * 3
    assert texts[0].startswith(f"{truncated}: cannot be decoded: image file is truncated")
    assert texts[0].endswith(place)
    no_image = "not a JPEG, PNG, WEBP, BMP, GIF or TIFF image: it is a web page: download the file again"
    assert texts[1] == f"{text}: cannot be decoded: {no_image} {place}"
    assert texts[2] == f"{empty}: cannot be decoded: the file is empty {place}"
    assert reported(root) == list(zip(severities, checks, texts, strict=True))  # the journal has the faults too


def test_a_missing_image_is_reported_once(root):
    (root / camera(root)[0]).unlink()
    result = look(root)
    assert [finding.check for finding in result.findings] == ["paths"]
    assert result.checks[-1].looked_at == 107


def test_unusual_images_are_noted(root):
    grey, palette, small, flat = camera(root)[:4]
    Image.linear_gradient("L").save(root / grey)
    Image.linear_gradient("L").rotate(90).convert("P").save(root / palette, format="PNG")
    Image.new("RGB", (31, 40), "red").save(root / small)
    Image.new("RGB", (40, 31), "red").save(root / flat)
    place = "(bucket 1, class 'camera')"
    assert reported(root) == [
        ("note", "images", f"1 image is of mode L, converted to RGB when read, such as {grey} {place}"),
        ("note", "images", f"1 image is of mode P, converted to RGB when read, such as {palette} {place}"),
        ("note", "images", f"2 images are less than 32 px wide or high, such as {small} {place}"),
    ]


def test_the_same_bytes(root):
    first, second, third, fourth = camera(root)[:4]
    other = camera(root, bucket=2)[0]
    shutil.copy(root / first, root / second)
    (root / third).unlink()
    os.link(root / fourth, root / third)
    (root / other).unlink()
    (root / other).symlink_to(root / fourth)
    places = ["(bucket 1, class 'camera')"] * 2 + ["(bucket 2, class 'camera')"]
    assert reported(root) == [
        (
            "fault",
            "overlaps",
            f"the same bytes in several places: {third} {places[0]}, {fourth} {places[1]}, {other} {places[2]}",
        ),
        ("note", "overlaps", f"the same bytes more than once in a bucket: {first} {places[0]}, {second} {places[1]}"),
    ]
    assert verify(root).sound


def test_the_same_bytes_many_times_are_not_all_named(root):
    for path in camera(root)[1:]:
        shutil.copy(root / camera(root)[0], root / path)
    ((severity, _, text),) = reported(root)
    assert severity == "note"
    assert text.endswith(", 8 more")


def test_the_same_bytes_in_train_and_test(later_folder):
    root = later_folder(size_px=40)
    copied = camera(root / "train")[0]
    shutil.copy(root / "train" / copied, root / "test" / camera(root / "test")[0])
    faults = [text for severity, _, text in reported(root) if severity == "fault"]
    assert len(faults) == 1
    assert f"train/{copied} (bucket 1 of train/, class 'camera'), test/labeled_images/" in faults[0]


def test_a_second_run_looks_at_what_changed(root):
    assert looked_at(root) == 108
    before = (root / FILE_NAME).read_bytes()
    assert looked_at(root) == 0
    assert (root / FILE_NAME).read_bytes() == before
    spoilt, touched = camera(root)[:2]
    (root / spoilt).write_bytes(b"x" * (root / spoilt).stat().st_size)
    os.utime(root / touched, (1, 1))
    assert looked_at(root) == 2
    assert [entry["path"] for entry in entries(root)[108:]] == [spoilt, touched]
    assert [finding.text.split(":")[0] for finding in look(root).findings] == [spoilt]
    assert looked_at(root) == 0


def test_a_killed_run_continues(root):
    """SIGKILL in the middle; the next run decodes only the rest, and finds the same."""
    (root / camera(root)[0]).write_bytes(b"x")
    script = textwrap.dedent(
        f"""
        import os, signal, sys
        from clearctl.dataset.verify import verify

        def kill(event):
            if getattr(event, "work", "") == {WORK!r} and event.done >= 64:
                os.kill(os.getpid(), signal.SIGKILL)

        verify(sys.argv[1], images=True, jobs=2, listener=kill)
        """
    )
    killed = subprocess.run([sys.executable, "-c", script, str(root)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(entries(root)) == 64
    assert looked_at(root) == 44
    assert len(entries(root)) == 108
    assert len({entry["path"] for entry in entries(root)}) == 108
    assert [finding.check for finding in look(root).findings] == ["images"]


@pytest.mark.parametrize("kept_bytes", [0, 1, 10, 25, 2000, 5000])
def test_a_line_cut_off_is_not_read(root, kept_bytes):
    look(root)
    whole = (root / FILE_NAME).read_bytes()
    (root / FILE_NAME).write_bytes(whole[:kept_bytes])
    known = max(whole[:kept_bytes].count(b"\n") - 1, 0)
    assert looked_at(root) == 108 - known
    assert looked_at(root) == 0


def test_lines_that_are_none(root):
    look(root)
    lines = (root / FILE_NAME).read_text().splitlines()
    lines[5:5] = ["3", "[]", '"path"', "null", "{}", '{"path": []}', "[" * 100_000, "1" * 5000]
    (root / FILE_NAME).write_text("\n".join(lines) + "\n")
    assert looked_at(root) == 0


def test_another_pillow_looks_for_itself(root):
    look(root)
    text = (root / FILE_NAME).read_text()
    header, rest = text.split("\n", 1)
    (root / FILE_NAME).write_text(json.dumps({"pillow": "1.0"}) + "\n" + rest)
    assert looked_at(root) == 108
    assert looked_at(root) == 0
    assert header in (root / FILE_NAME).read_text().splitlines()[100:]


def test_an_unchanged_image_that_can_no_longer_be_read(root, monkeypatch):
    """Its size and time are what they were."""
    look(root)
    unreadable = next(iter(sorted((root / "labeled_images").rglob("*.jpg"))))
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != unreadable and access(path, mode))
    assert looked_at(root) == 1


def test_a_journal_that_cannot_be_written(root):
    (root / FILE_NAME).mkdir()
    events: list[object] = []
    assert look(root, listener=events.append).sound
    warnings = [event.text for event in events if isinstance(event, Message) and event.warning]
    assert len(warnings) == 1
    assert FILE_NAME in warnings[0]
    assert "the next run checks every image again" in warnings[0]


def test_a_disk_that_is_full(root):
    """Nothing more is written once a line could be written only in part, and the next run reads what came before."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    events: list[object] = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        assert look(root, jobs=1, listener=events.append).sound
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (root / FILE_NAME).stat().st_size == 10_000
    assert any("only part of it was written" in event.text for event in events if isinstance(event, Message))
    known = (root / FILE_NAME).read_bytes().count(b"\n") - 1
    assert 32 < known < 64
    assert looked_at(root) == 108 - known


def test_an_interrupt_ends_it_at_once_and_says_how_to_continue(root):
    messages: list[str] = []

    def interrupt(event: object) -> None:
        if isinstance(event, Message):
            messages.append(event.text)
        elif isinstance(event, Counted) and event.work == WORK and event.done >= 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look(root, jobs=1, listener=interrupt)
    assert messages == ["32 of 108 images are done: run the same command to continue"]
    assert looked_at(root) == 76
