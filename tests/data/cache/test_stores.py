"""The stores of a run: what is said, what is shared, and what happens when the disk gives out."""

import multiprocessing
import resource
from pathlib import Path

import pytest
import torch
from torchvision import transforms as T

from clearctl import prepare_avalanche, verify
from clearctl.data.cache.files import ImageFiles, list_files
from clearctl.data.cache.stores import cache_folders, open_stores
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.stream import read_stream
from clearctl.data.transforms import split_steps
from clearctl.errors import DatasetError
from clearctl.progress import Counted, Event, Message

pytest_plugins = ("pictures",)

FLOATS = [T.ToTensor(), T.Normalize([0.5] * 3, [0.25] * 3)]
TRAIN = split_steps([T.Resize(24), T.RandomCrop(24), T.RandomHorizontalFlip(), *FLOATS])
TEST = split_steps([T.Resize(28), T.CenterCrop(24), *FLOATS])
SPLITS = {"train_transform": TRAIN, "eval_transform": TEST}


def texts(heard: list[Event]) -> list[str]:
    return [event.text for event in heard if isinstance(event, Message)]


def files_under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_two_stores_then_none_of_it_again(photos):
    heard: list[Event] = []
    stores = open_stores(photos, SPLITS, listener=heard.append)
    folder = photos.root / "training_folder/image_cache"
    assert [store.missing() for store in stores.values()] == [[], []]
    assert [text.split("(")[0] for text in texts(heard)] == [
        "train_transform: images are decoded once ",
        "eval_transform: images are decoded once ",
    ]
    counted = [event for event in heard if isinstance(event, Counted)]
    assert counted[-1] == Counted("decode images", 9, 9, "images")
    written = files_under(folder)
    assert len(written) == 4  # of each store a segment and the note
    heard.clear()
    again = open_stores(photos, SPLITS, listener=heard.append)
    assert texts(heard) == [f"{name}: all 9 images are already decoded, in {folder}" for name in SPLITS]
    assert files_under(folder) == written
    for name, split in SPLITS.items():
        torch.manual_seed(0)
        expected = CachedTransform(stores[name], split).batch(range(9))
        torch.manual_seed(0)
        assert torch.equal(CachedTransform(again[name], split).batch(range(9)), expected)


def test_same_leading_transforms_share_a_store(photos):
    heard: list[Event] = []
    same = {
        "train_transform": TRAIN,
        "eval_transform": split_steps([T.Resize(24), T.CenterCrop(20), *FLOATS][:1] + FLOATS),
    }
    stores = open_stores(photos, same, listener=heard.append)
    assert stores["train_transform"] is stores["eval_transform"]
    assert texts(heard)[0].startswith("train_transform and eval_transform: images are decoded once")


@pytest.mark.parametrize("cache", ["off", "ram"])
def test_without_files(photos, cache):
    stores = open_stores(photos, SPLITS, cache=cache)
    assert [len(store.missing()) for store in stores.values()] == ([9, 9] if cache == "off" else [0, 0])
    assert not (photos.root / "training_folder").exists()


def test_what_cannot_be_split_is_said_once_and_works(photos):
    heard: list[Event] = []
    steps = [T.Lambda(lambda image: image.rotate(90)), T.Resize((20, 20)), *FLOATS]
    splits = {"train_transform": split_steps(steps), "eval_transform": TEST}
    stores = open_stores(photos, splits, cache="disk", listener=heard.append)
    assert heard[0] == Message(
        "train_transform: images are decoded at every use, since Lambda may use more than their pixels", True
    )
    assert len(texts(heard)) == 2
    assert (len(stores["train_transform"].missing()), stores["eval_transform"].missing()) == (9, [])
    found = CachedTransform(stores["train_transform"], splits["train_transform"]).batch([3, 1])
    assert torch.equal(found, torch.stack([T.Compose(steps)(photos.decode(number)) for number in (3, 1)]))


def test_each_dataset_has_a_folder_of_its_own_in_a_shared_one(tmp_path):
    one, other = tmp_path / "a/clear", tmp_path / "b/clear"
    one.mkdir(parents=True)
    other.mkdir(parents=True)
    (tmp_path / "link").symlink_to(one)
    folders = [folder for root in (one, other, tmp_path / "link") for folder in cache_folders(root, tmp_path / "cache")]
    assert folders[0] == folders[2] != folders[1]
    assert {folder.parent for folder in folders} == {tmp_path / "cache"}
    assert cache_folders(one) == [one / "training_folder/image_cache"]


@pytest.mark.parametrize("cache", ["auto", "disk"])
def test_a_mount_that_cannot_be_mapped(photos, monkeypatch, cache):
    """`auto` continues in memory, `disk` stops; neither leaves anything that the next run would add to."""
    monkeypatch.setattr(torch, "from_file", unmappable)
    heard: list[Event] = []
    folder = photos.root / "training_folder/image_cache"
    for _ in range(2):
        if cache == "auto":
            store = open_stores(photos, {"eval_transform": TEST}, cache=cache, listener=heard.append)["eval_transform"]
            assert store.missing() == []
        else:
            with pytest.raises(DatasetError, match="cannot be used: written data cannot be read back: No such device"):
                open_stores(photos, {"eval_transform": TEST}, cache=cache)
        assert [path.name for path in files_under(folder)] == ["transforms.json"]
    said = [text for text in texts(heard) if "cannot be used" in text]
    assert len(said) == (2 if cache == "auto" else 0)
    assert all(text.endswith("No such device; 9 images are kept in memory") for text in said)


def unmappable(name: str, *, size: int, **_: object) -> torch.Tensor:
    """As torch's own, where the file system refuses."""
    raise RuntimeError(f"unable to mmap {size} bytes from file <{name}>: No such device (19)")


def open_with_a_limit(files: ImageFiles, cache: str, answer: object) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    heard: list[Event] = []
    splits = {"eval_transform": split_steps([T.Resize((60, 60)), T.ToTensor()])}
    try:
        missing = open_stores(files, splits, cache=cache, listener=heard.append)["eval_transform"].missing()
        answer.send((heard, missing, None))
    except DatasetError as error:
        answer.send((heard, None, str(error)))


@pytest.mark.parametrize("cache", ["auto", "disk"])
def test_a_file_that_cannot_be_written(photos, cache):
    """A real limit on the size of files: `auto` continues in memory and says so, `disk` stops; nothing half is left."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=open_with_a_limit, args=(photos, cache, there))
    process.start()
    heard, missing, error = here.recv()
    process.join()
    folder = photos.root / "training_folder/image_cache"
    (note,) = files_under(folder)
    assert note.name == "transforms.json"
    fault = f"{note.parent} cannot be used: File too large"
    if cache == "auto":
        assert Message(f"eval_transform: {fault}; 9 images are kept in memory", warning=True) in heard
        assert (missing, error) == ([], None)
    else:
        assert error == f"{fault}\nset data.cache_dir to another folder, or use data.cache='auto'"


def test_a_store_in_the_way_of_nothing(clear_folder):
    """The dataset's own commands do not mind the folder, and a split finds in it what the whole stream put there."""
    root = clear_folder(size_px=40)
    prepare_avalanche(root, seeds=[0])
    stream = read_stream(root)
    open_stores(list_files(part for bucket in stream.buckets for part in (bucket.train, bucket.test)), SPLITS)
    before = files_under(root / "training_folder/image_cache")
    assert len(before) == 4
    assert verify(root).sound
    assert prepare_avalanche(root, seeds=[0]).written == 0
    split = read_stream(root, protocol="iid", seed=0)
    heard: list[Event] = []
    files = list_files(part for bucket in split.buckets for part in (bucket.train, bucket.test))
    open_stores(files, SPLITS, listener=heard.append)
    assert all("are already decoded" in text for text in texts(heard))
    assert files_under(root / "training_folder/image_cache") == before


def test_an_undecodable_image_stops_before_training(photos):
    (photos.root / photos.paths[6]).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"6\.jpg \(bucket 0\) cannot be decoded"):
        open_stores(ImageFiles(photos.root, photos.paths, photos.buckets), SPLITS)
