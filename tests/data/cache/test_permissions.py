"""Folders of another user: what is asked is asked by a user who may not, in a process of its own."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures import write_photos
from torchvision import transforms as T

from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.stores import cache_folders, open_stores
from clearctl.data.transforms import split_steps
from clearctl.errors import DatasetError
from clearctl.progress import Event, Message

NOBODY = 12345  # has no home either
SPLITS = {"eval_transform": split_steps([T.Resize(24), T.ToTensor()])}

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can make folders of two users")


@pytest.fixture
def photos() -> Iterator[ImageFiles]:
    """In a folder that others may look into, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    files = write_photos(folder / "clear")
    (files.root / "training_folder").mkdir()
    yield files
    shutil.rmtree(folder)


def as_nobody(files: ImageFiles, **arguments: Any) -> tuple[list[str], int | None, str | None]:
    """What `open_stores` says to NOBODY, how many images are missing then, and its error."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_open, args=(files, arguments, there))
    process.start()
    there.close()
    answer = here.recv()
    process.join()
    return answer


def _open(files: ImageFiles, arguments: dict[str, Any], answer: Any) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.environ.pop("HOME", None)
    os.environ.pop("XDG_CACHE_HOME", None)
    os.environ.update(arguments.pop("environment", {}))
    heard: list[Event] = []
    try:
        stores = open_stores(files, SPLITS, listener=heard.append, **arguments)
        missing, fault = len(stores["eval_transform"].missing()), None
    except DatasetError as error:
        missing, fault = None, str(error)
    answer.send(([event.text for event in heard if isinstance(event, Message)], missing, fault))


def test_a_cache_folder_that_another_user_made_for_himself(photos):
    shared = photos.root.parent / "shared"
    shared.mkdir()
    (folder,) = cache_folders(photos.root, shared)
    open_stores(photos, SPLITS, cache_dir=shared)
    folder.chmod(0o700)
    said, missing, error = as_nobody(photos, cache_dir=shared)
    assert said[0].endswith(f"and kept in memory, since {folder} cannot be written")
    assert (missing, error) == (0, None)
    said, missing, error = as_nobody(photos, cache_dir=shared, cache="disk")
    assert f"but {folder} cannot be written\nset data.cache_dir to a folder with more space" in error
    shared.chmod(0o700)
    said, missing, error = as_nobody(photos, cache_dir=shared)
    assert said[0].endswith(f"and kept in memory, since {shared} cannot be written")


def test_without_a_home(photos):
    inside = photos.root / "training_folder"
    said, missing, error = as_nobody(photos)
    assert said[0].endswith(f"and kept in memory, since {inside} cannot be written")
    assert (missing, error) == (0, None)
    assert f"but {inside} cannot be written\nset data.cache_dir" in as_nobody(photos, cache="disk")[2]
    assert as_nobody(photos, cache="ram")[1:] == (0, None)
    assert as_nobody(photos, cache="off") == ([], 9, None)


def test_a_store_in_a_dataset_that_cannot_be_written_is_used(photos):
    """What it lacks goes to the user's own cache folder, and both are read from then on."""
    some = ImageFiles(photos.root, photos.paths[:6], photos.buckets[:6])
    open_stores(some, SPLITS)
    inside = photos.root / "training_folder/image_cache"
    before = sorted(inside.rglob("*"))
    home = photos.root.parent / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    environment = {"XDG_CACHE_HOME": str(home)}
    said, missing, error = as_nobody(some, environment=environment)
    assert (said, missing) == ([f"eval_transform: all 6 images are already decoded, in {inside}"], 0)
    assert not list(home.iterdir())
    said, missing, error = as_nobody(photos, environment=environment)
    assert f" and kept in {home}/clearctl/images/clear-" in said[0]
    assert (missing, error) == (0, None)
    (own,) = (home / "clearctl/images").iterdir()
    said, missing, error = as_nobody(photos, environment=environment)
    assert said == [
        f"eval_transform: all 9 images are already decoded, in {' and '.join(sorted((str(own), str(inside))))}"
    ]
    assert sorted(inside.rglob("*")) == before


def test_a_segment_of_another_user_is_passed_over(photos):
    open_stores(photos, SPLITS)
    inside = photos.root / "training_folder/image_cache"
    (segment,) = inside.rglob("*.images")
    segment.chmod(0o600)
    said, missing, error = as_nobody(photos)
    assert [text.split(" and ")[-1] for text in said] == [f"kept in memory, since {inside} cannot be written"]
    assert (missing, error) == (0, None)
    assert segment.exists()
