"""extract-features by several processes: the bytes are those of one, and where one ends the others do too."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pytest
import torch
from conftest import make_clear_folder
from extracting import begin, extract, means, with_little_memory
from killing import KILLED
from torchvision.transforms import Resize

from clearctl import layout, prepare_avalanche
from clearctl.data.cache.build import fill
from clearctl.data.cache.files import list_files
from clearctl.data.cache.store import ImageStore, store_name
from clearctl.data.cache.stores import cache_folders
from clearctl.data.samples import ImageSamples

# 15, 3 and 12 images, in batches of 4: one ends in a short batch, one has fewer batches than there are processes.
IMAGES = {
    (bucket, name): count
    for bucket, count in (("0", 5), ("1", 1), ("2", 4))
    for name in ("BACKGROUND", "camera", "cup of tea")
}
CONFIG = """
scenario = dict(eval_transform=[
    dict(type='Resize', size=32), dict(type='ToTensor'), dict(type='Normalize', mean=[{mean}] * 3, std=[0.2] * 3)])
model = dict(backbone=dict(type='ResNet', depth=18, stem_channels=8, base_channels=8))
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A prepared folder with the features `small`, which one process has made; it is not to be changed."""
    folder = tmp_path_factory.mktemp("shared")
    (folder / "small.py").write_text(CONFIG.format(mean=0.5))
    (folder / "other.py").write_text(CONFIG.format(mean=0.4))
    make_clear_folder(folder / "clear", images=IMAGES, size_px=40, noise=60.0)
    prepare_avalanche(folder / "clear", test_ratio=0)
    assert extract(folder, 1)[0].require().written == ("0", "1", "2")
    return folder


@pytest.fixture
def bare(whole, tmp_path) -> Path:
    """The same folder without features."""
    folder = shutil.copytree(whole, tmp_path / "bare")
    shutil.rmtree(layout.features_folder(folder / "clear", "small"))
    return folder


def files(folder: Path, name: str = "small") -> dict[str, bytes]:
    """The bytes of all that lies in the folder of the features `name`."""
    root = layout.features_folder(folder / "clear", name)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("processes", "workers"), [(2, 0), (3, 1)])
def test_the_bytes_are_those_of_one_process(whole, bare, processes, workers):
    ends = extract(bare, processes, workers=workers, official=True)
    assert files(bare) == files(whole)
    for ended in ends:
        assert ended.require() == ends[0].result
    assert (ends[0].result.written, ends[0].result.images) == (("0", "1", "2"), 30)
    assert ends[0].result.official == (bare / "clear/features/small",)
    assert [ended.said for ended in ends[1:]] == [[]] * (processes - 1)
    again = extract(bare, processes, workers=workers)
    assert [ended.require().written for ended in again] == [()] * processes
    assert files(bare) == files(whole)


def test_several_read_the_cache_and_the_bytes_stay(whole, bare):
    """Of 30 images 20 are stored; each process decodes what it lacks of its own batches."""
    root = bare / "clear"
    files_of = list_files(
        ImageSamples(root, name, layout.read_filelist(layout.filelist_file(root, name))) for name in "012"
    )
    [folder] = cache_folders(root)
    store = ImageStore(files_of, [Resize(32)], folder / store_name([Resize(32)]), wanted=range(5, 25))
    store.folder.mkdir(parents=True)
    fill(store, on_disk=True, image_bytes=3000, segment_bytes=9000)
    first, second = extract(bare, 2, workers=1)
    assert first.require() == second.require()
    assert first.result.cached == 20
    assert sum("20 of 30 images are read from the cache" in text for text in first.said) == 1
    assert second.said == []
    found, expected = files(bare), files(whole)
    assert {name: data for name, data in found.items() if name.endswith(".pth")} == {
        name: data for name, data in expected.items() if name.endswith(".pth")
    }


def test_what_is_reported_as_done_is_done(bare):
    """Of 4, 4, 4, 3 images, then 3, then 4, 4, 4 the first process has every other batch."""
    first, _ = extract(bare, 2)
    assert first.counted == [(4, 30), (8, 30), (15, 30), (18, 30), (22, 30), (30, 30)]


def test_several_continue_where_one_stopped_with_as_many_threads(whole, bare):
    straight = shutil.copytree(bare, bare.with_name("straight"))
    extract(straight, 1, threads=2)
    extract(bare, 1, threads=2, buckets=["0"])
    first, second = extract(bare, 2, threads=1)
    assert (first.require().written, second.require().written) == (("1", "2"), ("1", "2"))
    assert "torch uses 2 threads, as when the extraction began, instead of 1" in first.said
    assert files(bare) == files(straight)
    assert json.loads(files(bare)["extraction.json"])["about"]["torch_threads"] == 2
    assert json.loads(files(whole)["extraction.json"])["about"]["torch_threads"] == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_one_process_cannot_decode_ends_all(whole, bare, workers):
    """The first batch of bucket 2 is the third process's."""
    path = bare / "clear" / layout.read_filelist(layout.filelist_file(bare / "clear", "2"))[0][0]
    content = path.read_bytes()
    path.write_bytes(b"no image")
    *others, ended = extract(bare, 3, workers=workers)
    assert ended.error == "DatasetError"
    assert re.fullmatch(rf"{re.escape(str(path))} \(bucket 2\) cannot be decoded: .*", ended.text)
    lost = (
        "PeerLostError",
        "another process of this run has ended\nrun the same command to continue from the last complete bucket",
    )
    assert [(other.error, other.text) for other in others] == [lost] * 2
    assert set(files(bare)) == {"extraction.json", "0/all.pth", "1/all.pth"}
    path.write_bytes(content)
    assert extract(bare, 1)[0].require().written == ("2",)
    assert files(bare) == files(whole)


def test_what_the_first_process_refuses_ends_all(whole, bare):
    shutil.copytree(layout.features_folder(whole / "clear", "small"), layout.features_folder(bare / "clear", "small"))
    first, second = extract(bare, 2, precision="bf16")
    assert (first.error, second.error) == ("DatasetError", "PeerLostError")
    assert "precision was 'fp32', is now 'bf16'" in first.text
    assert files(bare) == files(whole)


def test_a_process_with_another_transform_than_the_first_is_refused(bare):
    """As on a machine where another file lies at the config's place."""
    first, second = extract(bare, 2, special={1: {"config": bare / "other.py"}})
    assert (first.error, second.error) == ("PeerLostError", "RunError")
    assert re.match(r"process 1, on .*, differs from the first in transform\n", second.text)
    assert files(bare) == {}


@pytest.mark.parametrize(("killed", "workers"), [(0, 0), (1, 0), (1, 1)])
def test_a_process_that_is_killed_ends_the_others_and_one_continues(whole, bare, killed, workers):
    """While the first has done its part of bucket 2, and none of it is written."""
    children = begin(bare, 3, workers=workers, special={0: {"halt_at": 22}})
    children[0].wait_for("halted")
    os.kill(children[killed].process.pid, signal.SIGKILL)
    if killed != 0:
        children[0].go_on()
    ends = [child.end() for child in children]
    assert ends[killed].exit_code == KILLED
    assert [ended.error for rank, ended in enumerate(ends) if rank != killed] == ["PeerLostError"] * 2
    assert set(files(bare)) == {"extraction.json", "0/all.pth", "1/all.pth"}
    assert extract(bare, 1)[0].require().written == ("2",)
    assert files(bare) == files(whole)


def test_a_batch_that_one_process_has_to_halve(bare):
    ends = [child.end() for child in begin(bare, 2, call=with_little_memory)]
    assert [ended.require() for ended in ends] == [[4, 4, 3, 4], [4, 2, 2, 2, 1, 2, 2, 2, 2]]
    for bucket, images in (("0", 15), ("1", 3), ("2", 12)):
        x, _ = torch.load(layout.features_file(bare / "clear", "means", bucket), weights_only=True)
        paths = [path for path, _ in layout.read_filelist(layout.filelist_file(bare / "clear", bucket))]
        assert len(x) == len(paths) == images
        assert torch.equal(x, torch.stack([means(bare / "clear" / path) for path in paths]))
