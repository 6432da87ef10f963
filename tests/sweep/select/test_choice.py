"""Which setting is the best one."""

import math
from pathlib import Path

import pytest

from clearctl.config.load import Config
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.select.choice import Measured, choose
from clearctl.sweep.select.metric import SelectionMetric

ACCURACY = SelectionMetric("accuracy")


def measured(label: str, *values: float, number: str = "accuracy", name: str = "c") -> list[Measured]:
    return [
        (
            PlannedRun(label, seed, Config({}, "c.py"), "c.py", "new", None, name=name),
            RunOutcome("finished", Path(f"{label}-{seed}"), numbers={number: value}),
        )
        for seed, value in enumerate(values)
    ]


def test_the_largest_mean_over_the_seeds() -> None:
    [choice] = choose([*measured("a", 0.9, 0.1), *measured("b", 0.6, 0.5), *measured("c", 0.5, 0.5)], ACCURACY)
    assert choice.chosen is not None
    assert (choice.chosen.label, choice.ties, choice.num_seeds) == ("b", (), 2)
    assert [setting.spread.mean for setting in choice.settings if setting.spread] == pytest.approx([0.5, 0.55, 0.5])
    found = choice.settings[1].as_json()
    assert (found["mean"], found["std"]) == (pytest.approx(0.55), pytest.approx(0.1 / math.sqrt(2)))
    assert found["runs"][1] == {"seed": 1, "value": 0.5, "folder": "b-1"}


def test_the_smallest_where_lower_is_better() -> None:
    runs = [*measured("a", 3.0, number="training_s"), *measured("b", 2.0, number="training_s")]
    [choice] = choose(runs, SelectionMetric("training_s"))
    assert choice.chosen is not None
    assert choice.chosen.label == "b"


def test_of_equal_ones_the_first_in_the_plan() -> None:
    [choice] = choose([*measured("b", 0.25), *measured("a", 0.5), *measured("c", 0.5), *measured("d", 0.5)], ACCURACY)
    assert choice.chosen is not None
    assert (choice.chosen.label, choice.ties) == ("a", ("c", "d"))


def test_each_config_has_its_own() -> None:
    runs = [*measured("a,1", 0.9, name="a"), *measured("a,2", 0.8, name="a"), *measured("b,1", 0.1, name="b")]
    found = [(choice.config, choice.chosen and choice.chosen.label) for choice in choose(runs, ACCURACY)]
    assert found == [("a", "a,1"), ("b", "b,1")]


def test_what_cannot_be_chosen_says_why() -> None:
    planned = measured("x", 0.0)[0][0]
    bad = [
        ("nan", RunOutcome("finished", numbers={"accuracy": math.nan}), "seed 0 has no such number"),
        ("none", RunOutcome("finished"), "seed 0 has no such number"),
        ("failed", RunOutcome("failed", error="out of memory\nuse less"), "seed 0 failed: out of memory"),
        ("diverged", RunOutcome("finished", numbers={"accuracy": 0.99}, diverged={"bucket": "1"}), "seed 0 diverged"),
    ]
    runs = [(PlannedRun(label, 0, planned.config, "c.py", "new", None, name="c"), outcome) for label, outcome, _ in bad]
    [choice] = choose([*runs, *measured("sound", 0.1)], ACCURACY)
    assert [setting.why_not for setting in choice.settings] == [*(why for _, _, why in bad), ""]
    assert choice.chosen is not None
    assert choice.chosen.label == "sound"
    [choice] = choose(runs, ACCURACY)
    assert choice.chosen is None


def test_one_seed_that_diverged_is_enough() -> None:
    runs = [*measured("a", 0.9), (measured("a", 0, 0.9)[1][0], RunOutcome("finished", diverged={"bucket": "1"}))]
    [choice] = choose([*runs, *measured("b", 0.1, 0.1)], ACCURACY)
    assert choice.chosen is not None
    assert choice.chosen.label == "b"
    assert choice.settings[0].as_json()["mean"] is None
