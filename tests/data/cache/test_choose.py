"""Where decoded images go, by what is free."""

import os
import shutil
from collections import namedtuple

import pytest
from torchvision import transforms as T

from clearctl import cgroups
from clearctl.data.cache import choose as choose_module
from clearctl.data.cache.build import fill
from clearctl.data.cache.choose import choose, estimate
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.memory import available_bytes
from clearctl.data.cache.store import ImageStore
from clearctl.errors import CapabilityError, DatasetError

pytest_plugins = ("pictures",)

LEADING = [T.Resize((400, 500))]
NEED = 9 * 3 * 400 * 500
MARGIN = 1_000_000_000
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Set how many bytes of disk and memory are free."""

    def set_free(disk: int, memory: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**13, 0, disk))
        monkeypatch.setattr(choose_module, "available_bytes", lambda: memory)

    return set_free


def test_need_is_of_what_is_missing(photos, tmp_path):
    store = ImageStore(photos, LEADING, tmp_path)
    assert estimate(store) == (600_000, NEED)
    fill(store, on_disk=True, image_bytes=600_000)
    assert estimate(store) == (0, 0)
    ragged = ImageStore(photos, [])
    mean = sum(ragged.pixels(n).numel() for n in range(9)) / 9
    assert estimate(ragged) == (round(mean), round(mean * 9))


@pytest.mark.parametrize(
    ("disk", "memory", "chosen", "said"),
    [
        (NEED + MARGIN, 0, "disk", "kept in {folder}, which has 1.0 GB free"),
        (
            NEED + MARGIN - 1,
            2 * NEED,
            "ram",
            "kept in memory, since {folder} has 1.0 GB free, of which 1.0 GB are kept",
        ),
        (10**9, 2 * NEED - 1, "off", "since they take 5.4 MB, {folder} has 1.0 GB free, of which 1.0 GB are kept free"),
    ],
)
def test_auto(photos, tmp_path, free, disk, memory, chosen, said):
    free(disk, memory)
    choice = choose(ImageStore(photos, LEADING), "auto", tmp_path / "new" / "store")
    assert (choice.cache, choice.need_bytes) == (chosen, NEED)
    assert said.format(folder=tmp_path / "new" / "store") in choice.text
    assert not (tmp_path / "new").exists()


def test_promises_count_as_taken(photos, tmp_path, free):
    free(2 * NEED + MARGIN, 4 * NEED)
    store = ImageStore(photos, LEADING)

    def chosen(disk_promised_bytes: int, memory_promised_bytes: int) -> str:
        return choose(
            store,
            "auto",
            tmp_path,
            disk_promised_bytes=disk_promised_bytes,
            memory_promised_bytes=memory_promised_bytes,
        ).cache

    assert chosen(NEED, 0) == "disk"
    assert chosen(NEED + 1, 2 * NEED) == "ram"
    assert chosen(NEED + 1, 2 * NEED + 1) == "off"


def test_what_was_asked_for_and_does_not_fit_is_refused(photos, tmp_path, free):
    free(NEED, NEED)
    store = ImageStore(photos, LEADING, tmp_path / "store")
    with pytest.raises(DatasetError, match=r"data.cache='disk': .* take 5.4 MB, but .*store has 5.4 MB free") as error:
        choose(store, "disk", tmp_path / "store")
    assert "data.cache_dir" in str(error.value)
    with pytest.raises(CapabilityError, match=r"data.cache='ram': .* take 5.4 MB, but 5.4 MB of memory are available"):
        choose(store, "ram", tmp_path / "store")
    assert choose(store, "off", tmp_path / "store").cache == "off"
    assert not (tmp_path / "store").exists()


def test_what_is_there_needs_no_room(photos, tmp_path, free):
    fill(ImageStore(photos, LEADING, tmp_path / "key"), on_disk=True, image_bytes=600_000)
    free(0, 0)
    choice = choose(ImageStore(photos, LEADING, tmp_path / "key"), "auto", tmp_path)
    assert (choice.cache, choice.need_bytes) == ("disk", 0)
    assert choice.text == f"all 9 images are already decoded, in {tmp_path}"


def test_how_many_of_the_images_are_decoded_at_every_use(photos, tmp_path, free):
    some = ImageFiles(photos.root, photos.paths[:7], photos.buckets[:7])
    fill(ImageStore(some, LEADING, tmp_path), on_disk=True, image_bytes=600_000)
    free(0, 0)
    choice = choose(ImageStore(photos, LEADING, tmp_path), "auto", tmp_path)
    assert choice.cache == "off"
    assert choice.text.startswith("2 of 9 images are decoded at every use, since they take 1.2 MB, ")
    choice = choose(ImageStore(photos, LEADING), "auto", tmp_path)
    assert choice.text.startswith("images are decoded at every use, since they take 5.4 MB, ")


def test_memory_is_what_the_system_says_at_most():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < available_bytes() <= total


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("1:cpu:/\n0::/job/task\n", ("job", "memory.max", "memory.current", "inactive_file")),
        (
            "4:cpu:/\n3:hugetlb,memory:/job/task\n0::/\n",
            ("memory/job", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_memory_is_what_the_control_group_leaves(tmp_path, monkeypatch, listed, names):
    """Version 2, then version 1: a limit of the group above counts, and what files take can be dropped."""
    folder, limit, used, droppable = names
    group = tmp_path / folder
    (group / "task").mkdir(parents=True)
    (tmp_path / "own").write_text(listed)
    (group / limit).write_text("1000000\n")
    (group / used).write_text("700000\n")
    (group / "memory.stat").write_text(f"anon 5\n{droppable} 200000\n")
    monkeypatch.setattr(cgroups, "_CGROUPS", tmp_path)
    monkeypatch.setattr(cgroups, "_OWN", tmp_path / "own")
    assert available_bytes() == 500_000
    (group / limit).write_text("9223372036854771712\n")  # how version 1 says that there is none
    assert available_bytes() > 1_000_000
