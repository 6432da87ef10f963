"""One number for an image, whichever split it is in; an identity that a change of the file changes."""

import multiprocessing
import os
import pickle
import resource

import pytest

from clearctl.data.cache.files import CachedImages, ImageFiles, list_files
from clearctl.data.samples import ImageSamples
from clearctl.errors import CapabilityError, DatasetError

pytest_plugins = ("pictures",)


def test_every_image_once_in_the_order_of_the_parts(photos):
    parts = [
        ImageSamples(photos.root, "0", [(photos.paths[4], 1), (photos.paths[0], 0)]),
        ImageSamples(photos.root, "1", [(photos.paths[1], 2), (photos.paths[4], 1), (photos.paths[3], 2)]),
    ]
    files = list_files(parts)
    assert files == ImageFiles(photos.root, tuple(photos.paths[i] for i in (4, 0, 1, 3)), ("0", "0", "1", "1"))
    test = CachedImages.of(parts[1], files.numbers())
    assert (test.rows.tolist(), test.labels.tolist()) == ([2, 0, 3], [2, 1, 2])
    for (image, label), (expected, expected_label), number in zip(test, parts[1], test.rows.tolist(), strict=True):
        assert image.tobytes() == expected.tobytes() == files.decode(number).tobytes()
        assert label == expected_label
    part = pickle.loads(pickle.dumps(test)).subset([2, 0])
    assert (part.rows.tolist(), part.targets, part.bucket) == ([3, 2], [2, 2], "1")
    assert part.paths == [photos.paths[3], photos.paths[1]]


def test_identity_changes_with_path_size_and_time(photos):
    file = photos.root / photos.paths[0]
    before = photos.identity(0)
    assert before == photos.identity(0)
    assert len({photos.first_identity(number) for number in range(len(photos))}) == len(photos)
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    later = photos.identity(0)
    file.write_bytes(file.read_bytes() + b"\0")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    longer = photos.identity(0)
    os.truncate(file, stat.st_size)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert len({before, later, longer}) == 3
    assert photos.first_identity(0) == before
    assert photos.identity(0) == before


def test_faults_name_file_and_bucket(photos):
    (photos.root / photos.paths[1]).write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"a class/1\.jpg \(bucket 1\) cannot be decoded: "):
        photos.decode(1)
    (photos.root / photos.paths[3]).unlink()
    with pytest.raises(DatasetError, match=r"a class/3\.jpg \(bucket 1\) cannot be read: .*No such file"):
        photos.identity(3)


def decode_with_no_file_left(files: ImageFiles, answer: object) -> None:
    files.decode(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))  # those that are open stay open
    try:
        files.decode(1)
    except CapabilityError as error:
        answer.send(str(error))


def test_too_many_open_files_are_no_bad_image(photos):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=decode_with_no_file_left, args=(photos, there))
    process.start()
    there.close()
    expected = f"{photos.root / photos.paths[1]} cannot be opened: Too many open files\nraise the limit"
    assert here.recv().startswith(expected)
    process.join()
