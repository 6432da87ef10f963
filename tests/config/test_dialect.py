"""What an old config meant without saying it: notices, and the dialect that turns it on."""

from pathlib import Path
from typing import Any

import pytest

from clearctl.config.dialect import BEST_EPOCH, CLEARCTL, DIFFERENCES, PREDECESSOR, notices, translated
from clearctl.config.dialect import write_out_defaults as write_out
from clearctl.config.load import Config, load
from clearctl.engine.build.preflight import check_config

DOCS = Path(__file__).parents[2] / "docs/coming-from.md"

# {difference: (a config that it applies to, the key that the predecessor's dialect writes, its value)}
CASES: dict[str, tuple[dict[str, Any], str, Any]] = {
    "best epoch": ({"cl_strategy": {"train_epochs": 2}}, "cl_strategy.plugins", [BEST_EPOCH]),
    "load_from": (
        {"load_from": "a.pth", "model": {"backbone": {"type": "ResNet"}, "neck": {"type": "GlobalAveragePooling"}}},
        "model.freeze",
        ["backbone", "neck"],
    ),
    "task labels": ({"scenario": {"evaluation_protocol": "iid"}}, "scenario.task_labels", "bucket"),
    "TextLogger": (
        {"loggers": [{"type": "TextLogger"}]},
        "loggers",
        [{"type": "TextLogger"}, {"type": "InteractiveLogger"}],
    ),
    "Prototype(shot=...)": ({"cl_strategy": {"type": "Prototype", "shot": 5}}, "cl_strategy.shot", None),
    "AGEM(reservoir=True)": ({"cl_strategy": {"type": "AGEM", "reservoir": True}}, "cl_strategy.reservoir", True),
    "BiasedReservoirSamplingBuffer": (
        {"cl_strategy": {"type": "GDumb", "buffer": {"type": "BiasedReservoirSamplingBuffer"}}},
        "cl_strategy.buffer.evict",
        "newest",
    ),
}


def value_at(values: dict[str, Any], key: str) -> Any:
    found: Any = values
    for name in key.split("."):
        found = found.get(name)
    return found


def test_every_difference_has_a_case() -> None:
    assert [difference.name for difference in DIFFERENCES] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_config_of_no_dialect_keeps_its_meaning_and_is_reported(name: str) -> None:
    values, key, _ = CASES[name]
    config = Config(values, "a.py")
    first, last = notices(config)
    assert first.startswith(f"{name}: the predecessor ")
    assert last == (
        "dialect='clear_avalanche_mmlab' applies all that clearctl can; dialect='clearctl' silences these notices"
    )
    assert translated(config).values == values
    assert list(notices(Config({**values, "dialect": CLEARCTL}, "a.py"))) == []


def test_the_config_of_a_run_is_clearctls(tmp_path: Path) -> None:
    """One trained again from its config.py means what it meant."""
    values = {"cl_strategy": {"type": "Naive", "train_epochs": 2}}
    (tmp_path / "config.py").touch()
    config = Config(values, str(tmp_path / "config.py"))
    assert list(notices(config)) != []
    (tmp_path / "environment.json").touch()
    assert list(notices(config)) == []
    assert translated(Config({**values, "dialect": CLEARCTL}, "a.py")).values == values


@pytest.mark.parametrize("name", CASES)
def test_with_the_predecessors_dialect_it_means_what_it_meant(name: str) -> None:
    values, key, value = CASES[name]
    config = Config({**values, "dialect": PREDECESSOR}, "a.py")
    done = translated(config)
    assert value_at(done.values, key) == value
    assert "dialect" not in done.values
    if done.values != values:
        assert done.origin(key) in ("dialect='clear_avalanche_mmlab'", "a.py")
    assert [line.partition(":")[0] for line in notices(config)] == ([name] if name.startswith("AGEM") else [])
    again = Config({**done.values, "dialect": PREDECESSOR}, "a.py")
    assert translated(again).values == done.values  # what is written out already is not written twice
    assert config.values["dialect"] == PREDECESSOR  # the config itself stays as it is


@pytest.mark.parametrize(
    "values",
    [
        {"cl_strategy": {"train_epochs": 1}, "scenario": {"task_labels": "single"}},
        {"cl_strategy": {"train_epochs": 5, "plugins": [{"type": "RestoreBestEpoch"}]}},
        {"load_from": "a.pth", "model": {"backbone": {}, "freeze": ["backbone"]}},
        {"load_from": "a.pth", "model": {"head": {}}},
        {"loggers": [{"type": "TextLogger", "file": "a.txt"}]},
        {"loggers": [{"type": "TextLogger"}, {"type": "InteractiveLogger"}]},
        {"cl_strategy": {"buffer": {"type": "BiasedReservoirSamplingBuffer", "evict": "random"}}},
        # not of the form that a config has: the check's to name
        {"cl_strategy": 3, "model": None, "loggers": "x", "load_from": 3},
        {"cl_strategy": {"plugins": 3, "train_epochs": "2", "buffer": 3}},
    ],
)
@pytest.mark.parametrize("dialect", [None, PREDECESSOR])
def test_what_a_config_says_itself_counts(values: dict[str, Any], dialect: str | None) -> None:
    config = Config({**values, "dialect": dialect} if dialect else values, "a.py")
    assert list(notices(config)) == []
    assert translated(config).values == values


def test_load_best_plugin_is_restore_best_epoch(features_config: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(f"_base_ = [{str(features_config)!r}]\ncl_strategy = dict(plugins=[dict(type='LoadBestPlugin')])\n")
    (fault,) = check_config(file).faults
    assert "plugin 'LoadBestPlugin' cannot be used: it is the predecessor's: use RestoreBestEpoch" in fault
    old = translated(load(file, [f"dialect={PREDECESSOR!r}"]))
    assert old.values["cl_strategy"]["plugins"] == [BEST_EPOCH]
    assert check_config(file, overrides=[f"dialect={PREDECESSOR!r}"]).faults == []


def test_another_dialect_is_a_fault(features_config: Path) -> None:
    (fault,) = check_config(features_config, overrides=["dialect=clear_avalanche"]).faults
    assert fault.startswith("--set: dialect: found 'clear_avalanche', expected 'clearctl' or 'clear_avalanche_mmlab'")


def test_a_changed_default_is_written_out_and_a_run_of_before_keeps_the_earlier_one() -> None:
    def head(of_run: bool, **arguments: Any) -> Any:
        values = {"model": {"head": {"type": "CosineDistanceHead", **arguments}}}
        write_out(values, of_run=of_run)
        return values["model"]["head"]["temperature"]

    assert (head(False), head(True)) == (2.0, 10.0)
    assert (head(False, temperature=5.0), head(True, temperature=5.0)) == (5.0, 5.0)


def test_the_differences_are_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for difference in DIFFERENCES:
        add = f"`{difference.write}`" if difference.write else "—"
        assert f"| {difference.name} | {difference.there} | {difference.here} | {add} |" in text, difference.name
