"""Unpacking: good archives byte for byte, poisoned ones refused with nothing written, kills continued from."""

import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from halting import Halt
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl.dataset.unpack import BadArchiveError, clear, is_unpacked, read_contents, unpack
from clearctl.errors import DatasetError
from clearctl.progress import Counted, ignore

GOOD = {
    "class_names.txt": b"a\nb",
    "labeled_images/0/a b/1.jpg": b"\xff\xd8" + bytes(5000),
    "labeled_images/0/a b/2.jpg": random.Random(1).randbytes(3_000_000),
    "training_folder/": b"",
    "empty/": b"",
    "labeled_metadata.json": b"",
}


def make(path: Path, entries, compression=zipfile.ZIP_DEFLATED) -> Path:
    """Entries are (name or ZipInfo, data)."""
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that comes twice
        for name, data in entries:
            archive.writestr(name, data)
    return path


def tree(root: Path) -> dict[str, bytes | None]:
    """{path: contents}, None for a folder."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


def files(root: Path) -> dict[str, bytes]:
    return {path: data for path, data in tree(root).items() if data is not None}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root/.download").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def archive(root):
    return root / ".download/a.zip"


def run(archive, root, **options):
    contents = read_contents(archive)
    unpack(archive, contents, root, **{"force": False, "listener": ignore, **options})
    return contents


def refused(archive, root, *reported, **limits):
    """That it is, before anything is written."""
    before = tree(root.parent)
    with pytest.raises(BadArchiveError) as caught:
        unpack(archive, read_contents(archive, **limits), root, force=True, listener=ignore)
    text = str(caught.value)
    assert text.isprintable(), text
    for piece in reported:
        assert piece in text
    assert tree(root.parent) == before


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_good_archive(root, archive, compression):
    make(archive, GOOD.items(), compression)
    reported = []
    contents = run(archive, root, listener=reported.append)
    clear(archive)
    archive.unlink()
    assert files(root) == {name: data for name, data in GOOD.items() if not name.endswith("/")}
    assert (root / "empty").is_dir()
    assert contents.top_level == (
        "class_names.txt",
        "labeled_images",
        "training_folder",
        "empty",
        "labeled_metadata.json",
    )
    assert (contents.num_files, contents.total_bytes) == (4, 3_005_005)
    assert reported[0] == Counted("unpack a.zip", 1, 4, "files")
    assert reported[-1] == Counted("unpack a.zip", 4, 4, "files")
    assert list((root / ".download").iterdir()) == []


def test_permissions_are_ordinary_whatever_the_archive_says(root, archive):
    umask = os.umask(0o022)
    try:
        entries = []
        for name, mode in (("folder/", 0o40700), ("folder/run", 0o104755), ("folder/none", 0o100000)):
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            entries.append((info, b"" if name.endswith("/") else b"x"))
        run(make(archive, entries), root)
    finally:
        os.umask(umask)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (root, *(root / "folder").iterdir())}
    assert {modes["run"], modes["none"]} == {0o644}
    assert stat.S_IMODE((root / "folder").stat().st_mode) == 0o755


def test_what_macos_adds_is_left_out(root, archive):
    extra = {"__MACOSX/._class_names.txt": b"x", ".DS_Store": b"x", "labeled_images/.DS_Store": b"x"}
    contents = run(make(archive, {**GOOD, **extra}.items()), root)
    assert "__MACOSX" not in contents.top_level
    assert not any("DS_Store" in path or "MACOSX" in path for path in tree(root))


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "a/../../evil",
        "a/..",
        "..",
        "/tmp/evil",
        "//evil",
        "a//b",
        "./a",
        "C:evil",
        "c:/evil",
        "..\\evil",
        "a\\b",
        "a\x1b[31mb",
        "a\nb",
        "/",
    ],
)
def test_a_name_that_may_leave_the_folder(root, archive, name):
    refused(make(archive, [("good", b"x"), (name, b"evil")]), root, "a.zip: the entry", "has a name that")


def test_a_name_cut_short_by_a_null_byte(root, archive):
    make(archive, [("good", b"x"), ("abcd/evil", b"evil")])
    archive.write_bytes(archive.read_bytes().replace(b"abcd/evil", b"abcd\0evil"))
    refused(archive, root, r"'abcd\x00evil'")


@pytest.mark.parametrize(
    ("mode", "reported"),
    [
        (stat.S_IFLNK | 0o777, "is a link"),
        (stat.S_IFIFO, "neither"),
        (stat.S_IFCHR, "neither"),
        (stat.S_IFSOCK, "neither"),
    ],
)
def test_a_link_or_device(root, archive, mode, reported):
    info = zipfile.ZipInfo("labeled_images")
    info.external_attr = mode << 16
    refused(make(archive, [("good", b"x"), (info, b"/etc")]), root, "'labeled_images'", reported)


@pytest.mark.parametrize(
    ("names", "reported"),
    [
        (["a", "b", "a"], "'a' occurs 2 times"),
        (["a/", "a/"], "'a' occurs 2 times"),
        (["a", "a/"], "'a' occurs 2 times"),
        (["a", "a/b"], "'a' is both a file and a folder"),
        (["a/b/c/d", "a/b"], "'a/b' is both a file and a folder"),
    ],
)
def test_names_that_contradict_each_other(root, archive, names, reported):
    refused(make(archive, [(name, b"" if name.endswith("/") else b"x") for name in names]), root, reported)


def patched(archive: Path, **fields: int) -> Path:
    """`archive` with fields of the first entry set, in its local header and in the central directory."""
    data = bytearray(archive.read_bytes())
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    offsets = {"flags": (6, 8, "<H"), "method": (8, 10, "<H"), "crc": (14, 16, "<L"), "size": (22, 24, "<L")}
    for field, value in fields.items():
        in_local, in_central, form = offsets[field]
        struct.pack_into(form, data, local + in_local, value)
        struct.pack_into(form, data, central + in_central, value)
    archive.write_bytes(data)
    return archive


def test_an_encrypted_entry(root, archive):
    refused(patched(make(archive, [("secret", b"x")]), flags=1), root, "'secret' is encrypted")


def test_an_unknown_compression(root, archive):
    refused(patched(make(archive, [("a", b"x")]), method=99), root, "'a' is compressed by method 99")
    refused(make(archive, [("a", b"x")], zipfile.ZIP_LZMA), root, "'a' is compressed by method 14")


def test_a_bad_crc(root, archive):
    refused(
        patched(make(archive, [("folder/image.jpg", b"x" * 99)]), crc=1), root, "damaged", "'folder/image.jpg'", "CRC"
    )


def test_a_bomb_that_declares_its_size_is_bounded(root, archive):
    make(archive, [(f"zeros{i}", bytes(1_000_000)) for i in range(30)])
    assert archive.stat().st_size < 60_000
    refused(archive, root, "would unpack to 30 MB, the limit is 29 MB", max_bytes=29_000_000)


@pytest.mark.parametrize("honest_crc", [False, True])
def test_a_bomb_that_lies_about_its_size_writes_no_more_than_it_declares(root, archive, honest_crc, monkeypatch):
    """Declared as 1,000 bytes, 50 MB in fact. Even with the CRC of its first 1,000 bytes only those are written."""
    make(archive, [("zeros", bytes(50_000_000)), ("other", b"x")])
    patched(archive, size=1_000, **({"crc": zlib.crc32(bytes(1_000))} if honest_crc else {}))
    if not honest_crc:
        refused(archive, root, "'zeros'", "CRC")
        return
    assert read_contents(archive).total_bytes == 1_001
    run(archive, root)
    assert (root / "zeros").read_bytes() == bytes(1_000)


def test_an_entry_shorter_than_it_declares(root, archive):
    refused(patched(make(archive, [("a", b"x" * 1_000)]), size=2_000), root, "'a'")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_archive(root, archive, share):
    make(archive, GOOD.items())
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    refused(archive, root, "a.zip is not a complete zip archive")


def test_no_archive_at_all(root, archive):
    archive.write_text("<html>sign in first</html>")
    refused(archive, root, "a.zip is not a complete zip archive")
    make(archive, [])
    refused(archive, root, "a.zip contains no file")


@settings(deadline=None, max_examples=100)
@given(names=st.lists(st.text("ab./\\:\n", min_size=1, max_size=7), min_size=1, max_size=4))
def test_whatever_the_names_all_is_inside_or_refused(tmp_path_factory, names):
    place = tmp_path_factory.mktemp("names")
    (place / "x/y/clear/.download").mkdir(parents=True)
    root = place / "x/y/clear"
    entries = [(name, b"" if name.endswith("/") else name.encode()) for name in names]
    archive = make(root / ".download/a.zip", entries)
    try:
        run(archive, root)
    except BadArchiveError:
        assert set(tree(root)) == {".download", ".download/a.zip"}
    else:
        written = {path: data for path, data in files(root).items() if not path.startswith(".download/")}
        assert written == {name: data for name, data in entries if not name.endswith("/")}
    assert {path for path in tree(place) if not path.startswith("x/y/clear/")} == {"x", "x/y", "x/y/clear"}
    shutil.rmtree(place)


@settings(deadline=None, max_examples=200)
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6))
def test_any_damage_is_either_harmless_or_named(tmp_path_factory, seed, changes):
    """Bytes at random places changed: the same files as before, or BadArchiveError; nothing outside."""
    place = tmp_path_factory.mktemp("damage")
    root = place / "root"
    (root / ".download").mkdir(parents=True)
    archive = make(root / ".download/a.zip", [("a/b.txt", b"some text " * 20), ("c", b"more")])
    data = bytearray(archive.read_bytes())
    generator = random.Random(seed)
    for _ in range(changes):
        data[generator.randrange(len(data))] = generator.choice([0, 1, 46, 47, 92, 127, 128, 255])
    archive.write_bytes(data)
    try:
        run(archive, root)
    except BadArchiveError:
        assert set(tree(root)) == {".download", ".download/a.zip"}
    else:
        # A changed name, or a time, is no fault that an archive could tell.
        assert set(files(root).values()) - {bytes(data)} <= {b"some text " * 20, b"more"}
    assert [path.name for path in place.iterdir()] == ["root"]
    shutil.rmtree(place)


def test_what_is_there_is_refused_before_anything_is_written(root, archive):
    make(archive, GOOD.items())
    (root / "labeled_images").symlink_to("nowhere")  # a dangling link is in the way too
    before = tree(root)
    with pytest.raises(DatasetError, match="labeled_images already exists\nuse --force to replace labeled_images"):
        run(archive, root)
    assert tree(root) == before


def test_what_is_there_is_replaced_by_force(root, archive, tmp_path):
    make(archive, GOOD.items())
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/precious").write_text("kept")
    (root / "labeled_images").symlink_to(tmp_path / "elsewhere")
    (root / "training_folder/old").mkdir(parents=True)
    (root / "class_names.txt").write_text("old")
    (root / "mine.txt").write_text("mine")
    run(archive, root, force=True)
    clear(archive)
    archive.unlink()
    assert files(root) == {**{name: data for name, data in GOOD.items() if not name.endswith("/")}, "mine.txt": b"mine"}
    assert not (root / "labeled_images").is_symlink()
    assert (tmp_path / "elsewhere/precious").read_text() == "kept"


def test_no_room(root, archive):
    size = 2**32 - 2  # the most without zip64
    names = [f"zeros{i}" for i in range(60)]
    make(archive, [(name, b"") for name in names])
    data = bytearray(archive.read_bytes())
    position = 0
    while (position := data.find(b"PK\x01\x02", position) + 1) > 0:
        struct.pack_into("<L", data, position - 1 + 24, size)
    archive.write_bytes(data)
    free = shutil.disk_usage(root).free
    if free > size * len(names):
        pytest.skip(f"{free} bytes are free")
    with pytest.raises(DatasetError, match="no room to unpack .*: 257,699 MB are needed, .* MB are free") as caught:
        unpack(archive, read_contents(archive, max_bytes=10**12), root, force=False, listener=ignore)
    assert not isinstance(caught.value, BadArchiveError)
    assert archive.exists()


@pytest.mark.parametrize("placed", range(6))
def test_a_kill_between_the_renames_is_gone_on_from(root, archive, placed):
    """What it leaves: all is unpacked beside the archive, and some of it is renamed into place."""
    make(archive, GOOD.items())
    contents = run(archive, root)
    for name in contents.top_level[placed:]:
        (root / name).rename(archive.with_name("a.zip.unpacked") / name)
    assert is_unpacked(archive)
    run(archive, root)
    clear(archive)
    archive.unlink()
    assert files(root) == {name: data for name, data in GOOD.items() if not name.endswith("/")}


def test_a_kill_between_putting_the_old_aside_and_the_new_in_place(root, archive):
    make(archive, GOOD.items())
    run(archive, root)
    (root / "training_folder").rename(archive.with_name("a.zip.unpacked") / "training_folder")
    (root / "labeled_images").rename(archive.with_name("a.zip.unpacked") / "labeled_images")
    for folder in (root / "training_folder", archive.with_name("a.zip.replaced") / "labeled_images"):
        folder.mkdir(parents=True)
        (folder / "old").write_text("old")
    with pytest.raises(DatasetError, match="training_folder already exists"):
        run(archive, root)
    run(archive, root, force=True)
    clear(archive)
    archive.unlink()
    assert files(root) == {name: data for name, data in GOOD.items() if not name.endswith("/")}


DEEP = "/".join("d" * 1 for _ in range(30_000)) + "/x"


@pytest.mark.parametrize(
    ("name", "fault"), [(DEEP, "has a name of 30,001 bytes"), ("a/" + "é" * 128, "has a name with a part of 256 bytes")]
)
def test_a_name_that_no_file_system_takes_is_refused(root, archive, name, fault):
    make(archive, [("class_names.txt", b"a"), (name, b"x")])
    refused(archive, root, fault)


def test_a_name_too_long_for_this_place_is_the_archives_fault(tmp_path):
    """So that another one is taken the next time: the same one would be refused for ever."""
    root = tmp_path
    while len(str(root)) < 3300:
        root = root / ("r" * 200)
    (root / ".download").mkdir(parents=True)
    archive = make(root / ".download/a.zip", [("/".join(["d" * 150] * 5) + "/x", b"x")])
    for _ in range(2):
        with pytest.raises(BadArchiveError, match="a.zip cannot be unpacked here: its entry 'd+…d+/x' .*too long"):
            run(archive, root)
    assert [path.name for path in (root / ".download").iterdir()] == ["a.zip"]
    shutil.rmtree(tmp_path / ("r" * 200))


RUN = """
import sys
from pathlib import Path
from clearctl.dataset.unpack import read_contents, unpack
archive, root = map(Path, sys.argv[1:])
unpack(archive, read_contents(archive), root, force=False, listener=lambda event: None)
"""


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_half_unpacked(root, archive, tmp_path):
    entries = {f"labeled_images/{i}.jpg": bytes([i % 256]) * 2000 for i in range(300)}
    entries |= {f"train{i}/x": b"x" for i in range(50)} | {"class_names.txt": b"a"}
    make(archive, entries.items(), zipfile.ZIP_STORED)
    for place, names in (
        (dict(path="*.unpacking/labeled_images/0.jpg"), 0),
        (dict(path="*.unpacking/*", number=330), 0),
        (dict(path="*.unpacked", event="rename"), 0),
        (dict(path=f"{root}/labeled_images", event="rename"), 1),
        (dict(path=f"{root}/train*", number=10, event="rename"), 2 + 9),
        (dict(path=f"{root}/train*", number=41, event="rename"), 2 + 49),
    ):
        with Halt(tmp_path / "halt", **place) as halt:
            command = [sys.executable, "-c", RUN, archive, root]
            halt.kill(subprocess.Popen(command, env={**os.environ, **halt.environ}))
        placed = {path: data for path, data in files(root).items() if not path.startswith(".download")}
        assert len({path.split("/")[0] for path in placed}) == names
        for name in {path.split("/")[0] for path in placed}:  # whole or not there
            assert {p for p in placed if p.split("/")[0] == name} == {p for p in entries if p.split("/")[0] == name}
        assert all(entries[path] == data for path, data in placed.items())
    assert is_unpacked(archive)
    run(archive, root)
    clear(archive)
    archive.unlink()
    assert files(root) == entries
