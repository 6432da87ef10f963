"""Samples as a run gets them: whichever way images are read, the weights are the same bit for bit."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from blobs import BASES
from small import SMALL, TYPES, strategy_of

from clearctl import rundir, train
from clearctl.config.fill import fill
from clearctl.config.load import load
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.samples import ImageSamples
from clearctl.engine.build.config import open_config
from clearctl.engine.build.samples import build_samples, gathers_features, loader_arguments
from clearctl.engine.build.stream import build_stream
from clearctl.engine.run.train import TrainResult
from clearctl.errors import ConfigError, DatasetError
from clearctl.progress import Counted, Event, Message, ignore
from clearctl.strategies.traits import traits_of

RANDOM = [
    dict(type="Resize", size=20),
    dict(type="RandomCrop", size=16),
    dict(type="RandomHorizontalFlip"),
    dict(type="ColorJitter", brightness=0.4),
    dict(type="ToTensor"),
    dict(type="Normalize", mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4]),
]
# A base config of each strategy.
BASE_OF: dict[str, str] = {TYPES[base]: base for base in reversed(SMALL)}

Run = Callable[..., TrainResult]


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the prepared folder, in which decoded images may be kept."""
    return Path(shutil.copytree(prepared, tmp_path / "dataset", ignore=shutil.ignore_patterns("image_cache")))


@pytest.fixture
def run(tiny_config: Path, dataset: Path, tmp_path: Path) -> Run:
    """`run(data, strategy, listener)`: train the small network on images with random transforms."""

    def trained(
        data: dict[str, Any], strategy: str = "Naive", listener: Callable[[Event], None] = ignore
    ) -> TrainResult:
        file = tmp_path / "config.py"
        base, small = (BASE_OF[strategy], SMALL[BASE_OF[strategy]]) if strategy in BASE_OF else strategy_of(strategy)
        section = {**load(BASES / f"{base}.py").values["cl_strategy"], "train_mb_size": 8, "eval_mb_size": 8}
        small = {**small}
        head = small.pop("model", {}).get("head", {})
        for name, value in small.items():
            section[name] = {**section[name], **value} if isinstance(value, dict) else value
        if "optimizer" in section:
            section |= {"train_epochs": 2, "optimizer": dict(type="SGD", lr=0.05), "scheduler": None, "loss": None}
        file.write_text(
            f"_base_ = [{str(tiny_config)!r}]\ncl_strategy = { {'_delete_': True, **section}!r}\ndata = {data!r}\n"
            f"scenario = dict(train_transform={RANDOM!r})\n"
            f"model = dict(head={ {**head, 'num_classes': 3, 'in_channels': 4} if head else {}!r})\n"
        )
        return train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=dataset, listener=listener)

    return trained


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that were decoded from their files, one after another."""
    found: list[str] = []
    fetch = ImageSamples.__getitem__
    monkeypatch.setattr(ImageSamples, "__getitem__", lambda self, i: (found.append(self.paths[i]), fetch(self, i))[1])
    return found


def assert_same(one: TrainResult, other: TrainResult) -> None:
    assert one.matrix.tolist() == other.matrix.tolist()
    for bucket in (1, 2, 3):
        ours, theirs = (torch.load(rundir.checkpoint_file(result.run, bucket)) for result in (one, other))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("strategy", BASE_OF)
def test_stored_images_train_as_files_do(strategy: str, run: Run, dataset: Path, decoded: list[str]) -> None:
    plain = run({"cache": "off"}, strategy)
    assert len(decoded) > 78 + 3 * 30  # at every use
    decoded.clear()
    assert not (dataset / "training_folder/image_cache").exists()
    assert_same(run({"cache": "ram"}, strategy), plain)
    # Each once for each transform that it is read under, a few to judge their size by, and to try the network and the
    # transforms on.
    both = traits_of(strategy).sees_learned_as_tested
    assert len(decoded) <= (2 if both else 1) * 78 + 30 + 2 * 16 + 4
    assert not (dataset / "training_folder/image_cache").exists()
    assert_same(run({"cache": "disk"}, strategy), plain)
    assert list((dataset / "training_folder/image_cache").rglob("*.images"))


def test_mer_draws_for_the_images_of_its_memory_as_avalanches_own(
    run: Run, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("clearctl.strategies.patches._apply", lambda: None)
        plain = run({"cache": "off"}, "MER")
    decoded.clear()
    assert_same(run({"cache": "ram"}, "MER"), plain)
    assert len(decoded) <= 78 + 30 + 2 * 16 + 4  # each once, as above


def test_they_do_with_worker_processes_too(run: Run) -> None:
    plain = run({"cache": "off", "workers": 2}, "Replay")
    for cache in ("ram", "disk"):
        assert_same(run({"cache": cache, "workers": 2}, "Replay"), plain)


def test_a_second_run_finds_the_images_and_a_changed_one_is_decoded_again(
    run: Run, dataset: Path, decoded: list[str]
) -> None:
    def counted() -> tuple[TrainResult, int]:
        counts: list[int] = []

        def listen(event: Event) -> None:
            if isinstance(event, Counted) and "decode" in event.work:
                counts.append(event.done)

        return run({"cache": "disk"}, listener=listen), len(counts)

    first, events = counted()
    decoded.clear()
    assert events > 0
    again, events = counted()
    assert len(decoded) <= 4  # to try the network and both transforms on
    assert events == 0
    assert_same(again, first)
    changed = sorted((dataset / "labeled_images/0").rglob("*.jpg"))[0]
    other = sorted((dataset / "labeled_images/2").rglob("*.jpg"))[-1]
    shutil.copyfile(other, changed)
    mended, events = counted()
    assert events > 0
    assert_same(mended, run({"cache": "off"}))


@pytest.mark.parametrize("strategy", ["DER", "ICaRL"])
def test_images_that_are_learned_are_stored_as_tests_take_them_too(strategy: str, run: Run, decoded: list[str]) -> None:
    first = run({"cache": "disk"}, strategy)
    decoded.clear()
    assert_same(run({"cache": "disk"}, strategy), first)
    assert len(decoded) <= 4  # to try the network and both transforms on


def test_a_named_folder_is_used_and_the_choice_is_said(run: Run, dataset: Path, tmp_path: Path) -> None:
    said: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Message):
            said.append(event.text)

    run({"cache_dir": str(tmp_path / "elsewhere")}, listener=listen)
    assert list((tmp_path / "elsewhere").rglob("*.images"))
    assert not (dataset / "training_folder/image_cache").exists()
    assert [text for text in said if "images are decoded once" in text]


def test_a_file_is_no_place_for_a_store(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file is a file"):
        run({"cache": "disk", "cache_dir": str(tmp_path / "file")})


@pytest.mark.parametrize("key", ["data.cache_dir", "work_dir", "load_from", "scenario.dataset_root"])
def test_a_home_that_there_is_not_is_a_fault_of_the_config(key: str, tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: ~nobody-here/x: no such home folder"):
        open_config(tiny_config, overrides=(f"{key}=~nobody-here/x",))


def test_paths_of_a_config_are_made_absolute(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    config = open_config(tiny_config, overrides=("data.cache_dir=here", "load_from=weights.pth"))
    assert config.values["data"]["cache_dir"] == str(tmp_path / "here")
    assert config.values["load_from"] == str(tmp_path / "weights.pth")


def test_features_are_resident_unless_workers_are_asked_for(features_config: Path, prepared: Path) -> None:
    found = {}
    for loader in ("auto", "resident", "mapped", "workers"):
        overrides = (f"data.loader={loader}", "data.workers=1")
        settings = fill(open_config(features_config, overrides=overrides, dataset_root=prepared))
        stream = build_stream(settings.scenario, settings.data)
        built = build_samples(settings, stream, torch.device("cpu"), ignore)
        found[loader] = (
            stream.is_mapped,
            gathers_features(settings.data, stream),
            built.gathered,
            loader_arguments(settings.data, stream)["num_workers"],
        )
    assert found == {
        "auto": (False, True, True, 0),
        "resident": (False, True, True, 0),
        "mapped": (True, True, True, 0),
        "workers": (False, False, False, 1),
    }


def test_features_that_do_not_fit_are_mapped_by_auto_alone(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shutil.copytree(prepared, tmp_path / "own")  # what another test has in memory needs no room
    need_bytes = 3 * 36 * 5 * 4
    for room_bytes, maps in ((need_bytes, {"auto": True}), (1.2 * need_bytes, {"auto": False})):
        monkeypatch.setattr("clearctl.engine.build.stream.available_bytes", lambda room_bytes=room_bytes: room_bytes)
        for loader, is_mapped in {**maps, "resident": False, "workers": False}.items():
            settings = fill(open_config(features_config, overrides=(f"data.loader={loader}",), dataset_root=own))
            stream = build_stream(settings.scenario, settings.data)
            assert stream.is_mapped == is_mapped, loader
            said: list[Event] = []
            build_samples(settings, stream, torch.device("cpu"), said.append)
            assert [event.text for event in said if isinstance(event, Message)] == is_mapped * [
                "the features do not fit in memory: batches are read from their files (data.loader='mapped')"
            ]
            del stream  # which the next one would find in memory


def test_nothing_is_stored_where_it_is_not_wanted(tiny_config: Path, dataset: Path) -> None:
    for override in ("data.cache=off", "data.loader=workers"):
        settings = fill(open_config(tiny_config, overrides=(override,), dataset_root=dataset))
        built = build_samples(settings, build_stream(settings.scenario, settings.data), torch.device("cpu"), ignore)
        assert isinstance(built.stream.buckets[0].train, ImageSamples)
        assert not isinstance(built.train_transform, CachedTransform)
        assert not (dataset / "training_folder/image_cache").exists()


def test_an_unreadable_image_ends_the_run_before_it_begins(run: Run, dataset: Path, tmp_path: Path) -> None:
    broken = sorted((dataset / "labeled_images/1").rglob("*.jpg"))[3]
    broken.write_bytes(b"no image")
    with pytest.raises(DatasetError, match=rf"{broken.name} \(bucket 1\) cannot be decoded"):
        run({"cache": "disk"})
    assert not list((tmp_path / "runs").glob("*"))
