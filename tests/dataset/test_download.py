"""A release of CLEAR from a loopback server to a prepared folder, through cuts, kills and bad archives."""

import base64
import hashlib
import importlib.util
import io
import json
import os
import random
import runpy
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_clear_folder
from halting import Halt, until
from mirror import Mirror

from clearctl import prepare_avalanche
from clearctl.dataset.download import download
from clearctl.dataset.remote.archives import BASE_URL, RELEASES, base_url, default_root, find_archives
from clearctl.dataset.remote.patience import Patience
from clearctl.errors import CapabilityError, DatasetError, UsageError
from clearctl.progress import Counted, Message

PUBLIC = "clear10-public.zip"
QUICK = Patience(retries=1, pause_s=0.0, connect_timeout_s=30.0, read_timeout_s=30.0)


def zipped(folder: Path, prefix: str = "") -> bytes:
    """The files of `folder` as an archive."""
    return added(b"", {prefix + path: data for path, data in files(folder).items()})


def added(archive: bytes, entries: Mapping[str | zipfile.ZipInfo, bytes]) -> bytes:
    """`archive` with more entries."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as opened:
        for name, data in entries.items():
            opened.writestr(name, data)
    return buffer.getvalue()


def files(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    return {path: data for path, data in found.items() if not path.startswith(".download/")}


def in_workshop(root: Path) -> list[str]:
    """What is left in .download."""
    return sorted(path.name for path in (root / ".download").iterdir())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A public release, as a folder."""
    return make_clear_folder(tmp_path_factory.mktemp("published") / "clear", size_px=24)


@pytest.fixture(scope="module")
def data(published):
    """The archive of it, of some 100 KB."""
    return zipped(published)


@pytest.fixture
def mirror(data):
    with Mirror({PUBLIC: data}) as serving:
        yield serving


@pytest.fixture
def root(tmp_path):
    return tmp_path / "with space" / "CLEAR"


def get(mirror, root, **options):
    return download("clear10", root, url=mirror.url, patience=QUICK, **options)


def refused(mirror, root, *reported, error=DatasetError, **options):
    with pytest.raises(error) as caught:
        get(mirror, root, **options)
    text = str(caught.value)
    assert len(text.splitlines()) <= 2, text
    for piece in reported:
        assert piece in text
    return text


def test_from_the_server_to_a_prepared_folder(mirror, root, data, published):
    reported = []
    result = get(mirror, root, listener=reported.append)
    assert files(root) == files(published)
    (receipt,) = result.archives
    md5 = hashlib.md5(data).hexdigest()
    assert (receipt.file, receipt.url, receipt.size_bytes) == (PUBLIC, f"{mirror.url}/{PUBLIC}", len(data))
    assert (receipt.md5, receipt.checked, receipt.num_files) == (md5, (), len(files(published)))
    assert (result.root, result.dataset_root, result.new, result.received_bytes) == (root, root, (PUBLIC,), len(data))
    assert in_workshop(root) == [f"{PUBLIC}.json"]
    assert json.loads((root / f".download/{PUBLIC}.json").read_text())["md5"] == md5
    works = list(dict.fromkeys((event.work, event.unit) for event in reported if isinstance(event, Counted)))
    assert works == [(f"download {PUBLIC}", "MB"), (f"check {PUBLIC}", "MB"), (f"unpack {PUBLIC}", "files")]
    assert any("Renate" in event.text and md5 in event.text for event in reported if isinstance(event, Message))
    assert not (root / ".clearctl.lock").exists()
    assert prepare_avalanche(root).num_classes == 3


def test_a_second_run_does_nothing(mirror, root):
    first = get(mirror, root)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    again = get(mirror, root, md5=first.archives[0].md5)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
    assert (again.archives, again.new, again.received_bytes) == (first.archives, (), 0)
    assert again.dataset_root == root
    assert len(mirror.log) == 1
    refused(mirror, root, f"its md5 is {first.archives[0].md5}, --md5 says {'0' * 32}", "--force", md5="0" * 32)


def test_force_downloads_and_replaces(mirror, root, published):
    get(mirror, root)
    (root / "labeled_images/0/camera").rename(root / "labeled_images/0/kamera")
    (root / "mine.txt").write_text("mine")
    result = get(mirror, root, force=True)
    assert files(root) == {**files(published), "mine.txt": b"mine"}
    assert (result.new, len(mirror.log)) == ((PUBLIC,), 2)
    assert in_workshop(root) == [f"{PUBLIC}.json"]


def test_what_is_in_the_way_is_reported_before_anything_is_downloaded(mirror, root):
    make_clear_folder(root, buckets=("5",))
    before = files(root)
    refused(mirror, root, "labeled_images already exists", "--force", "--dataset-root")
    assert files(root) == before
    assert mirror.log == []
    assert not (root / ".download").exists()


def test_a_folder_of_which_a_part_was_removed_is_not_taken_as_whole(mirror, root):
    get(mirror, root)
    (root / "class_names.txt").unlink()
    refused(mirror, root, "labeled_images already exists")


def test_the_archive_is_kept_on_request_and_used_again(mirror, root, data, published):
    get(mirror, root, keep_archive=True)
    assert (root / f".download/{PUBLIC}").read_bytes() == data
    get(mirror, root)
    assert in_workshop(root) == [PUBLIC, f"{PUBLIC}.json"]
    (root / "class_names.txt").write_text("other")
    result = get(mirror, root, force=True)
    assert files(root) == files(published)
    assert (result.received_bytes, len(mirror.log)) == (0, 1)


def test_an_archive_put_there_by_hand(mirror, root, data, published):
    (root / ".download").mkdir(parents=True)
    (root / f".download/{PUBLIC}").write_bytes(data)
    result = get(mirror, root, md5=hashlib.md5(data).hexdigest())
    assert files(root) == files(published)
    assert (result.archives[0].url, result.archives[0].checked, mirror.log) == (None, ("--md5",), [])
    assert PUBLIC in in_workshop(root)  # whoever put it there may want it


def test_a_bad_archive_put_there_by_hand_is_not_deleted(mirror, root, data):
    (root / ".download").mkdir(parents=True)
    (root / f".download/{PUBLIC}").write_bytes(data[:-30])
    refused(mirror, root, "not a complete zip archive", f"put another file at {root}/.download/{PUBLIC}")
    refused(mirror, root, "the md5 is", md5="0" * 32)
    assert (root / f".download/{PUBLIC}").read_bytes() == data[:-30]
    assert files(root) == {}


def test_an_archive_put_there_by_hand_after_a_download_gave_up(mirror, root, data):
    """What is known of the part says nothing of the archive: it is not clearctl's to delete."""
    mirror.cuts = [50_000, 0, 0, 0]
    refused(mirror, root, error=CapabilityError)
    (root / f".download/{PUBLIC}").write_bytes(data[:-30])
    refused(mirror, root, "not a complete zip archive", "put another file at")
    assert in_workshop(root) == [PUBLIC]
    (root / f".download/{PUBLIC}").write_bytes(data)
    assert get(mirror, root).archives[0].url is None


def test_two_archives_go_into_one_folder(later_folder, tmp_path, root):
    source = later_folder(train_name="train_image_only")
    archives = find_archives("clear10", "image-only")
    served = {}
    for archive, name in zip(archives, ("train_image_only", "test"), strict=True):
        served[archive.file] = zipped(source / name, f"{name}/")
    with Mirror(served) as mirror:
        md5s = {file: hashlib.md5(data).hexdigest() for file, data in served.items()}
        result = get(mirror, root, release="image-only", md5=md5s)
        assert files(root) == files(source)
        assert [receipt.file for receipt in result.archives] == [
            "clear10-train-image-only.zip",
            "clear10-test.zip",
        ]
        assert {receipt.checked for receipt in result.archives} == {("--md5",)}
        assert prepare_avalanche(root).published_split
        mirror.log.clear()
        assert get(mirror, root, release="image-only").new == ()
        (root / "test").rename(tmp_path / "gone")
        assert get(mirror, root, release="image-only").new == ("clear10-test.zip",)
        assert [asked.path for asked in mirror.log] == ["/clear/clear10-test.zip"]
        assert files(root / "test") == files(source / "test")


def test_two_archives_with_the_same_folder_are_refused(published, root):
    served = {archive.file: zipped(published, "same/") for archive in find_archives("clear100", "full")}
    with Mirror(served) as mirror, pytest.raises(DatasetError, match="both hold same"):
        download("clear100", root, release="full", url=mirror.url, force=True)
    assert files(root) == {}


def test_the_second_archive_bad_means_that_none_is_unpacked(data, root):
    train, test = (archive.file for archive in find_archives("clear10", "full"))
    with Mirror({train: data, test: b"nothing"}) as mirror:
        refused(mirror, root, f"{test} is not a complete zip archive", release="full")
        assert files(root) == {}
        mirror.files[test] = data  # the first is here, checked
        mirror.log.clear()
        refused(mirror, root, "both hold", release="full")
        assert [asked.path for asked in mirror.log] == [f"/clear/{test}"]


def test_a_folder_around_the_dataset_is_found(published, root):
    with Mirror({PUBLIC: zipped(published, "CLEAR-10-PUBLIC/")}) as mirror:
        result = get(mirror, root)
    assert result.dataset_root == root / "CLEAR-10-PUBLIC"
    assert files(result.dataset_root) == files(published)


def test_an_archive_of_something_else(root):
    with Mirror({PUBLIC: added(b"", {"cats/1.jpg": b"x"})}) as mirror:
        assert get(mirror, root).dataset_root is None
    assert files(root) == {"cats/1.jpg": b"x"}


def checksum_headers(data: bytes) -> dict[str, dict[str, str]]:
    md5, sha256 = hashlib.md5(data), hashlib.sha256(data)
    in_base64 = base64.b64encode(md5.digest()).decode()
    return {
        "Content-MD5": {"Content-MD5": in_base64},
        "x-goog-hash": {"x-goog-hash": f"crc32c=AAAAAA==,md5={in_base64}"},
        "ETag": {"ETag": f'"{md5.hexdigest()}"', "x-amz-id-2": "1"},
        "X-Linked-ETag": {"X-Linked-ETag": f'"{sha256.hexdigest()}"', "X-Linked-Size": str(len(data))},
    }


@pytest.mark.parametrize("source", ["Content-MD5", "x-goog-hash", "ETag", "X-Linked-ETag"])
@pytest.mark.parametrize("right", [True, False])
def test_what_the_server_declares_is_checked(mirror, root, data, published, source, right):
    headers = checksum_headers(data if right else bytes(len(data)))[source]
    mirror.etag = None
    if source == "X-Linked-ETag":
        mirror.redirect = (f"http://127.0.0.1:{mirror.port}/cdn", headers)
    else:
        mirror.headers = headers
    if right:
        assert get(mirror, root).archives[0].checked == (source,)
        assert files(root) == files(published)
        return
    algorithm = "sha256" if source == "X-Linked-ETag" else "md5"
    found, expected = (hashlib.new(algorithm, of).hexdigest() for of in (data, bytes(len(data))))
    refused(mirror, root, f"the {algorithm} is {found}, expected {expected} ({source})", "it was deleted", "--url BASE")
    assert not root.exists()
    # whoever knows better says so
    assert get(mirror, root, md5=hashlib.md5(data).hexdigest().upper()).archives[0].checked == ("--md5",)


def test_a_wrong_md5(mirror, root, data):
    text = refused(mirror, root, "it was deleted", md5="0" * 32)
    assert f"the md5 is {hashlib.md5(data).hexdigest()}, expected {'0' * 32} (--md5)" in text
    assert not root.exists()


def test_a_length_shorter_than_the_body_is_never_complete(mirror, root, data):
    mirror.declared_length = len(data) - 1000
    refused(mirror, root, "is not a complete zip archive", "it was deleted and not unpacked")
    assert not root.exists()


def test_a_length_longer_than_the_body_is_never_complete(mirror, root, data):
    mirror.declared_length = len(data) + 1000
    refused(mirror, root, f"of {len(data) + 1000:,} bytes", error=CapabilityError)
    assert files(root) == {}


def test_a_page_in_place_of_the_archive(mirror, root):
    mirror.files[PUBLIC] = b"<html>please sign in</html>"
    refused(mirror, root, f"{PUBLIC} is not a complete zip archive: it is a web page")
    assert not root.exists()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:99999", "http://a:0/", "http://a b/", "http://a/b c/", "http://a:x"]
)
def test_an_address_that_is_none_is_a_fault_of_usage(address):
    with pytest.raises(UsageError, match=r"--url .*: expected the address of a folder"):
        base_url(address)


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("../../evil", "may leave its folder"),
        ("/tmp/evil", "not a plain relative path"),
        ("labeled_images/link", "is a link"),
        (".download/x", "which clearctl itself writes"),
        (".clearctl.lock", "which clearctl itself writes"),
    ],
)
def test_a_poisoned_archive(mirror, root, data, name, reported):
    info = zipfile.ZipInfo(name)
    info.external_attr = ((stat.S_IFLNK if name.endswith("link") else stat.S_IFREG) | 0o777) << 16
    mirror.files[PUBLIC] = added(data, {info: b"/etc/passwd"})
    parent = sorted(root.parents[1].rglob("*"))
    refused(mirror, root, reported, "it was deleted and not unpacked")
    assert sorted(root.parents[1].rglob("*")) == parent
    assert not Path("/tmp/evil").exists()


def test_a_damaged_archive_is_named_deleted_and_downloaded_again(mirror, root, data, published):
    """Its directory is right, the bytes of an image are not: found only when that is unpacked."""
    name = next(name for name in files(published) if name.endswith(".jpg"))
    position = data.index(name.encode()) + len(name) + 200
    mirror.files[PUBLIC] = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
    refused(mirror, root, f"{PUBLIC} is damaged: its entry '{name}'", "it was deleted")
    assert not root.exists()
    mirror.files[PUBLIC] = data
    get(mirror, root)
    assert files(root) == files(published)


def test_an_archive_above_the_bound(mirror, root):
    refused(mirror, root, "would unpack to", max_unpacked_bytes=1000)
    assert not root.exists()


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_refuses(mirror, root, status):
    mirror.statuses = [status]
    refused(
        mirror, root, f"{mirror.url}/{PUBLIC}", f"answers {status}", "--url", f"{root}/.download", error=CapabilityError
    )
    assert not root.parent.exists()  # what was made and is empty is gone


def test_an_archive_that_is_not_there_any_more_names_the_other_releases(mirror, root):
    mirror.statuses = [404]
    text = refused(mirror, root, "answers 404", error=CapabilityError)
    assert text.endswith("or use another release of clear10: --release image-only, --release full")


def test_a_mirror_of_the_whole_hub(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    assert base_url(None) == "https://hub.example/" + BASE_URL.removeprefix("https://huggingface.co/")
    assert base_url("https://mirror.example/clear/") == "https://mirror.example/clear"  # --url wins
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(UsageError, match=r"^\$HF_ENDPOINT=hub.example: expected the address of a folder"):
        base_url(None)


def test_what_the_hub_had_is_compared(mirror, root, data, monkeypatch):
    digest = hashlib.sha256(data).hexdigest()
    (archive,) = find_archives("clear10", "public")
    for recorded, checked in ((digest, ("the hub's sha256 of 2026",)), ("0" * 64, ())):
        reported = []
        monkeypatch.setitem(
            RELEASES["clear10"], "public", ("CLEAR-10-PUBLIC", (replace(archive, md5=None, sha256=recorded),))
        )
        assert get(mirror, root, listener=reported.append, force=True).archives[0].checked == checked
        warned = [event.text for event in reported if isinstance(event, Message) and event.warning]
        assert len(warned) == (not checked)
        assert all(f"the sha256 is {digest}, the hub's sha256 of 2026 is {recorded}" in text for text in warned)


def test_cut_and_given_up_and_gone_on_from_by_the_same_call(mirror, root, data, published):
    mirror.cuts = [50_000, 0, 0, 0]
    refused(mirror, root, "50,000 of", error=CapabilityError)
    assert (root / f".download/{PUBLIC}.part").read_bytes() == data[:50_000]
    mirror.cuts = []
    assert get(mirror, root).received_bytes == len(data) - 50_000
    assert files(root) == files(published)


def test_declared_checksums_hold_for_a_download_resumed(mirror, root, data):
    """They came with the first answer; a part of the file has no Content-MD5 of the whole."""
    mirror.headers = checksum_headers(bytes(len(data)))["Content-MD5"]
    mirror.cuts = [50_000, 0, 0, 0]
    refused(mirror, root, error=CapabilityError)
    mirror.cuts, mirror.headers = [], {}
    refused(mirror, root, "the md5 is", "(Content-MD5)")


RUN = """
import sys
from clearctl.dataset.download import download
download("clear10", sys.argv[1], url=sys.argv[2])
"""


def running(mirror, root, **environ: str) -> subprocess.Popen:
    """A download in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(root), mirror.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environ},
    )


@pytest.fixture
def large(data):
    """An archive of 4 MB."""
    return added(data, {"unlabelled.bin": random.Random(0).randbytes(4_000_000)})


def test_a_kill_in_the_middle_is_gone_on_from(mirror, root, large, published):
    """By the server's log only the rest is sent."""
    mirror.files[PUBLIC], mirror.stall_after = large, 1_500_000
    part = root / f".download/{PUBLIC}.part"
    process = running(mirror, root)
    until(lambda: part.exists() and part.stat().st_size > 1_000_000, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    here = part.stat().st_size
    assert 1_000_000 < here <= 1_500_000
    assert large.startswith(part.read_bytes())
    mirror.stall_after = None
    result = get(mirror, root)
    assert mirror.sent[-1] == (f"bytes={here}-", 206, len(large) - here)
    assert result.received_bytes == len(large) - here
    assert result.archives[0].md5 == hashlib.md5(large).hexdigest()
    found = files(root)
    assert found.pop("unlabelled.bin") == random.Random(0).randbytes(4_000_000)
    assert found == files(published)


@pytest.mark.slow
def test_a_kill_at_any_moment_is_gone_on_from(mirror, root, large, published, tmp_path):
    mirror.files[PUBLIC] = large
    for path, event in (
        (f"*/{PUBLIC}.part", "write"),  # nothing has come
        ("*.unpacking/unlabelled.bin", "write"),
        ("*.unpacked", "rename"),
        (f"{root}/labeled_images", "rename"),
        (f"{root}/unlabelled.bin", "rename"),
        (f"*/.{PUBLIC}.json.*", "write"),  # all is there but the receipt
    ):
        with Halt(tmp_path / "halt", path, event=event) as halt:
            halt.kill(running(mirror, root, **halt.environ))
        whole = {path.split("/")[0] for path in files(root)}
        assert all(files(root / name) == files(published / name) for name in whole & set(os.listdir(published)))
    get(mirror, root)
    assert files(root) == {**files(published), "unlabelled.bin": random.Random(0).randbytes(4_000_000)}
    assert in_workshop(root) == [f"{PUBLIC}.json"]


def test_a_kill_while_force_replaces_is_not_taken_as_done(mirror, root, published):
    """The receipt of the run before is still there, and so is a name that is not replaced yet."""
    get(mirror, root, keep_archive=True)
    unpacked = root / f".download/{PUBLIC}.unpacked"
    unpacked.mkdir()
    (root / "class_names.txt").rename(unpacked / "class_names.txt")
    (root / "class_names.txt").write_text("old")
    refused(mirror, root, "class_names.txt already exists", "--force")
    get(mirror, root, force=True)
    assert files(root) == files(published)
    assert not unpacked.exists()


def test_two_at_once_into_one_folder(mirror, root, large):
    mirror.files[PUBLIC], mirror.stall_after = large, 1_000_000
    process = running(mirror, root)
    until(lambda: (root / f".download/{PUBLIC}.part").exists(), process)
    refused(mirror, root, f"is being changed by process {process.pid}")
    process.kill()
    process.communicate()


def test_the_disk_fills_up(mirror, root, large):
    """A limit on the size of files stands in for the disk: the same error comes from the same call."""
    mirror.files[PUBLIC] = large
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))" + RUN
    process = subprocess.run(
        [sys.executable, "-c", code, str(root), mirror.url], capture_output=True, text=True, check=False
    )
    assert "DatasetError: " in process.stderr
    assert "File too large" in process.stderr
    assert (root / f".download/{PUBLIC}.part").read_bytes() == large[:1_000_000]
    assert get(mirror, root).received_bytes == len(large) - 1_000_000


def test_no_room_for_what_is_to_come(mirror, root):
    mirror.declared_length = 10**18
    refused(mirror, root, "1,000,000,000,000 MB are still to download", "MB are free")
    assert not root.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(mirror, root):
    root.mkdir(parents=True)
    root.chmod(0o500)
    refused(mirror, root, "cannot be read or written: Permission denied")


def test_a_file_where_the_folder_should_be(mirror, root):
    root.parent.mkdir()
    root.write_text("")
    refused(mirror, root, str(root))


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"name": "clear11"}, "'clear11': expected clear10 or clear100"),
        ({"release": "private"}, "--release private: expected public, image-only, full"),
        ({"md5": "abc"}, "--md5 abc: an md5 has 32 hexadecimal digits"),
        ({"md5": {"other.zip": "0" * 32}}, "this release has clear10-public.zip"),
        ({"md5": "0" * 32, "release": "full"}, "this release has several files"),
        ({"url": "file:///data"}, "--url file:///data: expected the address"),
        ({"url": "ftp://host/clear"}, "expected the address"),
        ({"url": "host/clear"}, "expected the address"),
        ({"url": "http://"}, "expected the address"),
        ({"url": "http://[oops/"}, "expected the address"),
        ({"url": "http://host/clear?file="}, "expected the address"),
        ({"url": ""}, "expected the address"),
    ],
)
def test_arguments_that_make_no_sense(root, options, reported):
    with pytest.raises(UsageError) as caught:
        download(**{"name": "clear10", "root": root, **options})
    assert reported in str(caught.value)
    assert not root.exists()


def test_where_the_authors_publish():
    files = {
        archive.file for releases in RELEASES.values() for _, archives in releases.values() for archive in archives
    }
    assert files == {
        "clear10-public.zip",
        "clear10-train.zip",
        "clear10-train-image-only.zip",
        "clear10-test.zip",
        "clear100-workshop-avalanche.zip",
        "clear100-train.zip",
        "clear100-train-image-only.zip",
        "clear100-test.zip",
    }
    # by its path, since to import Avalanche takes 10 s
    avalanche = Path(importlib.util.find_spec("avalanche").origin).parent
    theirs = runpy.run_path(avalanche / "benchmarks/datasets/clear/clear_data.py")
    known = [entry for name in theirs["__all__"] for entry in theirs[name]]
    assert {file for file, _ in known} <= files
    assert all(url.startswith(BASE_URL) for _, url in known)


def test_default_folders(monkeypatch):
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    assert default_root("clear10", "public") == Path("dataset/CLEAR-10-PUBLIC")
    assert default_root("clear100", "public") == Path("dataset/CLEAR-100-PUBLIC")
    assert default_root("clear10", "full") == default_root("clear10", "image-only") == Path("dataset/CLEAR-10")
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", "/data/clear")
    assert default_root("clear100", "full") == Path("/data/clear")
