"""The record of an extraction: what it continues from, and what it refuses to mix."""

import json
from pathlib import Path

import pytest
import torch

from clearctl import layout, prepare_avalanche
from clearctl.data.features import save_features
from clearctl.errors import DatasetError
from clearctl.features.record import ExtractionRecord, resume_or_start, sha256

SETTINGS = {"arch": "resnet50", "precision": "fp32"}


@pytest.fixture
def root(clear_folder) -> Path:
    folder = clear_folder(images=2, buckets=("0", "1", "10"))
    prepare_avalanche(folder, test_ratio=0)
    return folder


def record(root: Path, **settings: object) -> ExtractionRecord:
    return ExtractionRecord(root, "mine", {**SETTINGS, **settings}, {"clearctl": "0"}, 4)


def write(root: Path, bucket: str) -> Path:
    file = layout.features_file(root, "mine", bucket)
    save_features(file, torch.ones(6, 4), [0, 0, 1, 1, 2, 2])
    return file


def test_an_earlier_run_with_the_same_settings_is_resumed(root):
    first = record(root)
    first.write()
    for bucket in ("10", "0"):
        write(root, bucket)
        first.add(bucket, 6, sha256(layout.filelist_file(root, bucket)))
    again = resume_or_start(record(root), force=False)
    assert [again.is_done(bucket) for bucket in ("0", "1", "10")] == [True, False, True]
    assert list(json.loads(again.file.read_text())["buckets"]) == ["0", "10"]


def test_a_bucket_is_done_only_while_its_file_and_its_list_are_what_they_were(root):
    done = record(root)
    for bucket in ("0", "1", "10"):
        write(root, bucket)
        done.add(bucket, 6, sha256(layout.filelist_file(root, bucket)))
    layout.features_file(root, "mine", "0").write_bytes(b"cut")
    with layout.filelist_file(root, "1").open("a") as file:
        file.write("\n")
    layout.features_file(root, "mine", "10").unlink()
    assert not any(done.is_done(bucket) for bucket in ("0", "1", "10"))


def test_other_settings_are_refused_and_named(root):
    record(root).write()
    with pytest.raises(DatasetError) as error:
        resume_or_start(record(root, arch="vit_b_16", transform=[]), force=False)
    assert "arch was 'resnet50', is now 'vit_b_16'; transform was None, is now []" in str(error.value)
    assert "--force" in str(error.value)
    assert resume_or_start(record(root, arch="vit_b_16"), force=True).settings["arch"] == "vit_b_16"


def test_force_too_continues_with_what_was_made_with_the_same_settings(root):
    first = record(root)
    write(root, "1")
    first.add("1", 6, sha256(layout.filelist_file(root, "1")))
    assert resume_or_start(record(root), force=True).is_done("1")
    assert not resume_or_start(record(root, arch="vit_b_16"), force=True).is_done("1")


@pytest.mark.parametrize("entry", ["[1]", "3", "null"])
def test_an_entry_that_is_none_is_a_bucket_that_is_not_done(root, entry):
    record(root).write()
    record(root).file.write_text(
        f'{{"settings": {{"arch": "resnet50", "precision": "fp32"}}, "buckets": {{"0": {entry}, "x": {{}}}}}}'
    )
    again = resume_or_start(record(root), force=False)
    assert again.buckets == {}
    again.write()


def test_features_that_nobody_knows_the_making_of_are_refused(root):
    write(root, "0")
    with pytest.raises(DatasetError, match=r"but no extraction\.json that says how they were extracted"):
        resume_or_start(record(root), force=False)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"settings": 3, "buckets": {}}'])
def test_a_record_that_is_damaged(root, text):
    record(root).write()
    record(root).file.write_text(text)
    with pytest.raises(DatasetError, match=r"extraction\.json"):
        resume_or_start(record(root), force=False)
    assert resume_or_start(record(root), force=True).buckets == {}
