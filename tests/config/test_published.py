"""Configs against what is published of the dataset that their data_name stands for."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clearctl import prepare_avalanche
from clearctl.config.load import Config
from clearctl.config.published import (
    class_count_faults,
    class_counts,
    dataset_root,
    fill_class_counts,
    misnamed,
    published_faults,
)
from clearctl.data_names import DATA_NAMES
from clearctl.errors import ConfigError, DatasetError

COUNTS: dict[str, dict[str, Any]] = {
    "model.head.num_classes": {"model": {"head": {"num_classes": 5}}},
    "model.torchmodel.out_features": {"model": {"torchmodel": {"out_features": 5}}},
    "model.head.loss.num_classes": {"model": {"head": {"loss": {"num_classes": 5}}}},
    "model.train_cfg.augments.0.num_classes": {"model": {"train_cfg": {"augments": {"num_classes": 5}}}},
    "model.train_cfg.augments.1.num_classes": {"model": {"train_cfg": {"augments": [{}, {"num_classes": 5}]}}},
    "cl_strategy.num_classes": {"cl_strategy": {"num_classes": 5}},
    "cl_strategy.loss.num_classes": {"cl_strategy": {"loss": {"num_classes": 5}}},
    "cl_strategy.buffer.total_num_classes": {"cl_strategy": {"buffer": {"total_num_classes": 5}}},
    "metrics.1.num_classes": {"metrics": [{}, {"num_classes": 5}]},
}


def config(**values: Any) -> Config:
    return Config(values, "a.py")


def lines(found: Config, root: Path | None = None) -> list[str]:
    return [str(fault) for fault in published_faults(found, root)]


@pytest.mark.parametrize("key", COUNTS)
def test_every_place_that_names_a_number_of_classes_is_checked(key: str) -> None:
    assert list(class_counts(COUNTS[key])) == [(key, 5)]
    assert list(class_count_faults(COUNTS[key], 3)) == [
        (key, "found 5, but the dataset has 3 classes: set it to 3 or 'dataset'")
    ]
    assert list(class_count_faults(COUNTS[key], 5)) == []
    (line,) = lines(config(scenario={"data_name": "clear100"}, **COUNTS[key]))
    assert line.startswith(f"a.py: {key}: found 5, but data_name 'clear100' has 100 classes; for another dataset ")


@pytest.mark.parametrize("key", COUNTS)
def test_a_number_of_classes_may_be_the_datasets(key: str, prepared: Path, tmp_path: Path) -> None:
    def asking() -> dict[str, Any]:
        found: dict[str, Any] = ast.literal_eval(repr(COUNTS[key]).replace(": 5", ": 'dataset'"))
        return found

    values = asking()
    fill_class_counts(config(**values), prepared)
    assert list(class_counts(values)) == [(key, 3)]
    values = asking()
    fill_class_counts(config(scenario={"dataset_root": str(prepared)}, **values), None)
    assert list(class_counts(values)) == [(key, 3)]
    for data_name, classes in (("clear100", 100), ("mine", 1000)):
        values = asking()
        with pytest.raises(DatasetError, match="no dataset folder at"):
            fill_class_counts(config(scenario={"data_name": data_name}, **values), tmp_path / "nowhere")
        assert list(class_counts(values)) == [(key, classes)]


@pytest.mark.parametrize("values", [{}, {"model": 3}, {"model": {"head": "x"}}, {"metrics": 3, "cl_strategy": []}])
def test_a_config_of_other_forms_names_none(values: dict[str, Any]) -> None:
    assert list(class_counts(values)) == []
    assert lines(config(**values)) == []


@pytest.mark.parametrize(
    ("name", "classes"), [("clear10", 11), ("clear10_neurips2021", 11), ("clear100_cvpr2022", 100)]
)
def test_what_is_published_is_right(name: str, classes: int) -> None:
    assert lines(config(scenario={"data_name": name}, model={"head": {"num_classes": classes}})) == []


@pytest.mark.parametrize("buckets", [["1", "10"], ["0"], [str(number) for number in range(11)], None, "1"])
def test_buckets_that_there_may_be(buckets: Any) -> None:
    assert lines(config(scenario={"data_name": "clear10", "buckets": buckets})) == []


def test_a_dataset_that_is_there_outranks_its_name(clear_folder: Callable[..., Path]) -> None:
    root = clear_folder(images=1, buckets=("1", "12"))
    prepare_avalanche(root, test_ratio=0)
    found = config(scenario={"data_name": "clear10", "buckets": ["12"]}, model={"head": {"num_classes": 3}})
    assert lines(found, root) == []
    assert misnamed(found, root) == (
        "scenario.data_name: 'clear10' has 11 classes, but the dataset has 3: it is another dataset,"
        " so use another name"
    )
    assert len(lines(found, root / "nothing")) == 2
    assert len(lines(config(scenario={"data_name": "clear10"}, model={"head": {"num_classes": 4}}), root)) == 1


def test_another_of_clears_datasets_under_that_name_is_a_fault(clear_folder: Callable[..., Path]) -> None:
    root = clear_folder(images=1, buckets=("1",), classes=[str(number) for number in range(11)])
    found = config(scenario={"data_name": "clear100"}, model={"head": {"num_classes": 11}})
    assert lines(found, root) == [
        "a.py: model.head.num_classes: found 11, but data_name 'clear100' has 100 classes; for another dataset leave"
        " data_name out or use another name"
    ]


def test_buckets_that_there_are_not() -> None:
    (line,) = lines(config(scenario={"data_name": "clear10", "buckets": ["10", "11", 12]}))
    assert line.startswith(
        "a.py: scenario.buckets: found 11, 12, but data_name 'clear10' has 10 labelled buckets, none"
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("clear_10", "clear10"),
        ("CLEAR100", "clear100"),
        ("clear10_neurips21", None),
        ("clear100_cvpr2202", "clear100_cv"),
    ],
)
def test_a_slip_in_the_name(name: str, meant: str | None) -> None:
    found = lines(config(scenario={"data_name": name}))
    assert len(found) == (meant is not None)
    assert all(f"did you mean '{meant}" in line for line in found)


def test_the_name_settles_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    for name, known in DATA_NAMES.items():
        assert dataset_root(config(scenario={"data_name": name})) == known.folder
    assert dataset_root(config()) == Path("dataset/CLEAR-10-PUBLIC")
    assert dataset_root(config(scenario={"data_name": "clear100", "dataset_root": "mine"})) == Path("mine")
    assert dataset_root(config(scenario={"data_name": "clear100", "dataset_root": "mine"}), "other") == Path("other")
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", "shared")
    assert dataset_root(config(scenario={"data_name": "clear100"})) == Path("shared")


def test_a_dataset_of_ones_own_has_no_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLEARCTL_DATASET_ROOT", raising=False)
    own = config(scenario={"data_name": "my flowers"})
    assert lines(own) == []
    with pytest.raises(ConfigError) as caught:
        dataset_root(own)
    assert str(caught.value).splitlines() == [
        "a.py: scenario.dataset_root: missing, and data_name 'my flowers' is none of clear10, clear10_neurips2021,"
        " clear100, clear100_cvpr2022, whose folders are known",
        "give the folder there, with --dataset-root DIR or with $CLEARCTL_DATASET_ROOT",
    ]
    assert dataset_root(own, "flowers") == Path("flowers")


def test_configs_of_clear_100_do_not_train_on_clear_10() -> None:
    from clearctl.engine.build.config import open_config

    root = Path(__file__).parents[2] / "configs"
    opened = open_config(root / "clear100/moco-b0/naive.py")
    assert opened.values["scenario"]["dataset_root"].endswith("dataset/CLEAR-100-PUBLIC")
    assert opened.values["model"]["head"]["num_classes"] == 100
    with pytest.raises(ConfigError, match=r"num_classes: found 101, but data_name 'clear100_cvpr2022' has 100 classes"):
        open_config(root / "clear100/moco-b0/naive.py", overrides=("model.head.num_classes=101",))
