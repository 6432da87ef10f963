"""Configs that carry a published name have the published settings, and old configs run as they did."""

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from configs.published import BUCKETS, CLASS_NAMES, CONFIGS, METADATA_ORDER, PREDECESSOR, ours
from conftest import make_clear_folder

from clearctl import make_fewshot, prepare_avalanche, rundir, train, verify
from clearctl.config.dialect import PREDECESSOR as DIALECT
from clearctl.config.dialect import translated
from clearctl.config.load import Config, dump, flatten, load
from clearctl.engine.build.preflight import check_config
from clearctl.layout import features_file, filelist_file, read_filelist

SECTIONS = ("scenario", "model", "cl_strategy")
DOCS = CONFIGS.parent / "docs/coming-from.md"

# {(config of the predecessor, or None for all; key): why ours is another on purpose}. docs/coming-from.md has the list.
DELIBERATE: dict[tuple[str | None, str], str] = {
    (None, "scenario.dataset_root"): "the folder is that of `data_name`, or `--dataset-root`",
    ("demo_feature.py", "scenario.data_name"): "it names CLEAR-10, whose folder it takes",
    ("demo_feature.py", "scenario.feature_type"): "it takes the features that `extract-features --arch resnet50` makes",
    ("demo_feature.py", "scenario.train_transform"): "transforms have no effect on features",
}


def settings(config: Config) -> dict[str, Any]:
    """{dotted key: value} of the sections that are compared."""
    sections = {name: config.values[name] for name in SECTIONS}
    return {
        key: value
        for name, section in sections.items()
        for key, value in flatten({name: _as_lists(section)})
        if value is not None
    }


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_lists(child) for name, child in value.items()}
    return [_as_lists(child) for child in value] if isinstance(value, list | tuple) else value


def difference(name: str) -> dict[str, tuple[Any, Any]]:
    """{key: (theirs, ours)} where the values of a published config are others here, without what is deliberate."""
    theirs = settings(translated(Config({**PREDECESSOR[name], "dialect": DIALECT}, name)))
    file, overrides = ours(name)
    mine = settings(load(file, overrides))
    found = {key: (theirs.get(key), mine.get(key)) for key in {**theirs, **mine} if theirs.get(key) != mine.get(key)}
    return {
        key: pair
        for key, pair in found.items()
        if not any(place in (None, name) and key.startswith(wanted) for place, wanted in DELIBERATE)
    }


@pytest.mark.parametrize("name", PREDECESSOR)
def test_the_settings_are_the_published_ones(name: str) -> None:
    assert difference(name) == {}


def test_a_setting_that_is_another_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "clear10/clear10_moco-b0_lwf.py"
    monkeypatch.setitem(PREDECESSOR[name]["cl_strategy"], "temperature", 2)
    assert difference(name) == {"cl_strategy.temperature": (2, 1)}


def test_what_differs_on_purpose_is_in_the_docs() -> None:
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \| (.+?) \|$", DOCS.read_text(), re.MULTILINE)
    reported = {(None if place == "all" else place.strip("`"), key): why for place, key, why in rows}
    assert {key: reported.get(key) for key in DELIBERATE} == DELIBERATE


@pytest.mark.parametrize(("protocol", "images"), [("", 3300), ("_iid", 2310)])
def test_memories_have_the_images_of_one_bucket(protocol: str, images: int) -> None:
    for file in sorted(CONFIGS.glob(f"clear10/*/*{protocol}.py")):
        if bool(protocol) != file.stem.endswith("_iid"):
            continue
        strategy = load(file).values["cl_strategy"]
        sizes = [strategy.get(name) for name in ("mem_size", "patterns_per_exp", "sample_size")]
        sizes.append((strategy.get("buffer") or {}).get("max_size"))
        assert {size for size in sizes if size is not None} <= {images}, file


@pytest.mark.parametrize(
    "file", sorted(CONFIGS.glob("clear1*/*/*.py")), ids=lambda file: str(file.relative_to(CONFIGS))
)
def test_every_experiment_restores_its_best_epoch_and_says_what_it_means(file: Path) -> None:
    values = load(file).values
    assert values["cl_strategy"]["plugins"] == [dict(type="RestoreBestEpoch", metric="train_accuracy")]
    assert values["dialect"] == "clearctl"


def test_no_shipped_config_has_faults_or_notices() -> None:
    parts = {"_base_", "models"}  # sections, of which a config is made
    for file in sorted(CONFIGS.rglob("*.py")):
        if not parts & set(file.parts):
            found = check_config(file)
            assert (found.faults, found.notices) == ([], ()), file


# Folders with the class names, the order and the buckets of the real ones, with few and small images.


def make_published(
    root: Path, classes: Sequence[str], order: Sequence[str], buckets: Sequence[str], images: int, shots: Sequence[int]
) -> Path:
    """A prepared folder with so many images a class in each bucket, few-shot splits and two kinds of features."""
    make_clear_folder(root, buckets, classes, images=images, metadata_order=order)
    prepare_avalanche(root, seeds=[0])
    for shot in shots:
        make_fewshot(root, shot=shot, seeds=[0])
    generator = torch.Generator().manual_seed(0)
    for bucket in buckets:
        labels = [label for _, label in read_filelist(filelist_file(root, bucket))]
        x = 0.1 * torch.randn(len(labels), 2048, generator=generator)
        x[torch.arange(len(labels)), labels] += 1
        for name in ("moco_b0", "intern_r50"):
            file = features_file(root, name, bucket)
            file.parent.mkdir(parents=True)
            torch.save((x, labels), file)
    return root


@pytest.fixture(scope="module")
def clear10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As CLEAR-10: BACKGROUND first in class_names.txt and last in the metadata, buckets 1 to 10."""
    return make_published(tmp_path_factory.mktemp("clear10"), CLASS_NAMES, METADATA_ORDER, BUCKETS, 6, (1, 5))


@pytest.fixture(scope="module")
def clear100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As CLEAR-100: 100 classes; two buckets."""
    names = [f"class {number}" for number in range(100)]
    return make_published(tmp_path_factory.mktemp("clear100"), names, names, ("1", "2"), 2, (1,))


def test_file_lists_follow_the_metadata_and_indices_the_class_names(clear10: Path) -> None:
    for bucket in BUCKETS:
        labels = [label for _, label in read_filelist(filelist_file(clear10, bucket))]
        assert list(dict.fromkeys(labels)) == [CLASS_NAMES.index(name) for name in METADATA_ORDER]
    assert verify(clear10, images=True).sound


def test_ten_buckets_are_learned_and_named(clear10: Path, tmp_path: Path) -> None:
    file = CONFIGS / "clear10/moco-b0/lwf_iid.py"
    result = train(
        file, device="cpu", work_dir=tmp_path, dataset_root=clear10, overrides=["cl_strategy.train_epochs=1"]
    )
    assert result.bucket_names == list(BUCKETS)
    assert result.matrix.shape == (10, 10)
    assert result.clear_metrics["in_domain"] > 0.5


SMALL = {  # what is as large as the images themselves
    "scenario.train_transform.0.size": 32,
    "scenario.train_transform.1.size": 32,
    "scenario.eval_transform.0.size": 32,
    "scenario.eval_transform.1.size": 32,
    "data": {"cache": "ram"},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PREDECESSOR)
def test_old_configs_run(name: str, clear10: Path, clear100: Path, tmp_path: Path) -> None:
    values = PREDECESSOR[name]
    root = clear100 if values["scenario"].get("data_name") == "clear100_cvpr2022" else clear10
    file = tmp_path / "old.py"
    file.write_text(dump({**values, "dialect": DIALECT}))
    assert check_config(file, dataset_root=root).faults == []
    overrides = ["cl_strategy.train_epochs=1", "scenario.buckets=['1','2']"]
    if "backbone" in values["model"]:
        overrides += [f"{key}={value!r}" for key, value in SMALL.items()]
    result = train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=root, overrides=overrides)
    assert result.matrix.shape == (2, 2)


def test_with_the_dialect_the_best_epoch_is_restored(
    clear10: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = "fewshot/clear10-5shot_moco-b0_cosine.py"
    file = tmp_path / "old.py"
    file.write_text(dump({**PREDECESSOR[name], "dialect": DIALECT, "loggers": []}))
    overrides = ["cl_strategy.train_epochs=3", "scenario.buckets=['1']"]
    with caplog.at_level(logging.INFO, logger="clearctl.strategies.stepping.best_epoch"):
        run = train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=clear10, overrides=overrides).run
    assert re.search(r"bucket number 1 ends with the weights of epoch \d of 3 \(train_accuracy", caplog.text)
    values = load(rundir.config_file(run)).values
    assert values["cl_strategy"]["plugins"] == [dict(type="RestoreBestEpoch", metric="train_accuracy")]
    assert values["model"]["head"]["temperature"] == 2.0
    assert "dialect" not in values


def test_with_the_dialect_what_is_loaded_is_frozen(
    write_old: Callable[..., Path], trained: Any, prepared: Path, tmp_path: Path
) -> None:
    checkpoint = rundir.checkpoint_file(trained.run, 1)
    before = torch.load(checkpoint, weights_only=True)
    after = {}
    for dialect in (DIALECT, "clearctl"):
        file = write_old(load_from=str(checkpoint), dialect=dialect)
        run = train(file, device="cpu", work_dir=tmp_path / dialect, dataset_root=prepared).run
        weights = torch.load(rundir.checkpoint_file(run, 3), weights_only=True)
        learned = [name for name, _ in before.items() if "num_batches" not in name and "running" not in name]
        after[dialect] = {name for name in learned if not torch.equal(weights[name], before[name])}
    assert {name.partition(".")[0] for name in after[DIALECT]} == {"head"}
    assert any(name.startswith("backbone.") for name in after["clearctl"])


@pytest.fixture
def write_old(tiny_config: Path, tmp_path: Path) -> Callable[..., Path]:
    """`write_old(**values)`: the tiny config on images with those at the top level."""

    def write(**values: Any) -> Path:
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        shutil.copy(tiny_config, tmp_path / "tiny.py")
        file.write_text("_base_ = ['tiny.py']\n" + dump(values))
        return file

    return write
