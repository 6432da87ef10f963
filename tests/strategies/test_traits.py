"""The table of what is known of each strategy and plugin: it is whole, and names what the classes have."""

import subprocess
import sys
from typing import Any

import pytest

from clearctl.config.protocol import WHOLE_STREAM
from clearctl.config.registry import Parameter, parameters
from clearctl.config.traits import UNKNOWN
from clearctl.strategies import registry
from clearctl.strategies.traits import PLUGINS, STRATEGIES, refusals, refused_with, shareable, traits_of

ROWS = {**STRATEGIES, **PLUGINS}
USABLE = [name for name, row in ROWS.items() if row.refused is None]


def arguments(name: str) -> dict[str, Parameter]:
    """The arguments of a strategy or plugin."""
    return parameters(registry.STRATEGIES[name] if name in STRATEGIES else registry.PLUGINS[name])[0]


@pytest.mark.parametrize(
    ("table", "known"), [(STRATEGIES, registry.STRATEGIES), (PLUGINS, registry.PLUGINS)], ids=["strategies", "plugins"]
)
def test_there_is_a_row_for_each_name_and_a_name_for_each_row(table: Any, known: Any) -> None:
    usable = {name for name, row in table.items() if row.refused is None}
    assert usable == set(known.classes)
    assert known.refused == refusals(table)


def test_a_name_has_one_row() -> None:
    assert not set(STRATEGIES) & set(PLUGINS)
    assert traits_of("EWC") is traits_of("EWCPlugin") is STRATEGIES["EWC"]
    for name in ("module:EWC", "EWC2", "", None, 3, [], {}):
        assert traits_of(name) is UNKNOWN


@pytest.mark.parametrize("name", USABLE)
def test_arguments_that_a_row_names_are_there(name: str) -> None:
    row, accepted = ROWS[name], arguments(name)
    named = [*row.choices]
    if name in PLUGINS:  # whose arguments the strategy may call otherwise
        named += [row.buffer[0]] if row.buffer else []
    named += ["mode", "decay_factor"] if row.decays else []
    named += ["task_balanced_dataloader"] if row.balances_memory else []
    named += ["sample_size", "reservoir"] if row.samples_every_bucket else []
    named += ["mem_size", "batch_size_mem"] if row.replays_whole_batches else []
    named += [argument for argument in (row.trained_layer, row.feature_layer, row.one_for_each_bucket) if argument]
    named += [argument for argument in (row.steps_to_rise, row.least_steps) if argument]
    assert set(named) <= set(accepted)
    if row.buffer is not None and row.buffer[1] is not None:
        assert STRATEGIES[row.buffer[1]] is row
        assert "buffer" in arguments(row.buffer[1])


def test_no_plugin_is_stacked_as_a_strategy_is() -> None:
    assert [name for name in PLUGINS if traits_of(name).stackable_plugin] == ["RestoreBestEpoch"]
    assert [name for name in STRATEGIES if traits_of(name).stackable] == [
        "Naive",
        "Cumulative",
        "Replay",
        "GDumb",
        "EWC",
        "SynapticIntelligence",
        "LwF",
        "AGEM",
    ]


def test_the_protocol_knows_the_same_strategies_of_the_whole_stream() -> None:
    assert tuple(name for name, row in STRATEGIES.items() if row.learns == "stream") == WHOLE_STREAM


def test_what_cannot_go_with_a_setting_is_named_with_its_plugin() -> None:
    found = refused_with()
    assert list(found["channels_last", True]) == ["AGEM", "AGEMPlugin"]
    assert list(found["precision", "fp16"]) == ["MER", "MIR", "KLDA"]
    assert list(found["precision", "bf16"]) == ["KLDA"]


def test_shareable_plugins_are_those_of_shareable_strategies_and_a_few_others() -> None:
    rows = {id(row) for row in STRATEGIES.values()}
    of_strategies = [name for name, row in PLUGINS.items() if id(row) in rows]
    others = [name for name in shareable(PLUGINS) if name not in of_strategies]
    assert others == ["ExponentialMovingAverage", "GradientClipping", "RestoreBestEpoch", "WarmUp"]


@pytest.mark.process
def test_the_table_is_read_without_torch_and_avalanche() -> None:
    program = "import sys, clearctl.strategies.traits; print({'torch', 'avalanche'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"
