"""A state that is resumed with another config: what the config says is new, what was learned stays."""

from typing import Any

import pytest
import torch
from avalanche.evaluation.metrics import Mean
from torch import nn

from clearctl.strategies.snapshot.capture import Capturer
from clearctl.strategies.snapshot.merge import OtherPartsError, merged
from clearctl.strategies.snapshot.restore import restore

CPU = torch.device("cpu")


def run(lr: float = 0.1, momentum: float = 0.9, epochs: int = 2, sizes: Any = (4,), name: str | None = None) -> Any:
    """The parts of a run: a network, an optimizer, and an object with settings and counts."""
    torch.manual_seed(0)
    network = nn.Sequential(*(nn.Linear(4, size) for size in sizes))
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=momentum)
    settings = Mean()
    settings.__dict__ = {"epochs": epochs, "done": 0, "nan": float("nan"), "name": name, "kept": {"all": [1, 2]}}
    settings.seen, settings.many = set(), list(range(20))
    return {"network": network, "optimizer": optimizer, "settings": settings}


def learn(parts: Any) -> None:
    parts["network"](torch.ones(3, 4)).sum().backward()
    parts["optimizer"].step()
    parts["settings"].done = 5
    parts["settings"].seen.update({1, 2})
    parts["settings"].kept["more"] = torch.ones(2)


def captured(parts: Any) -> Any:
    return Capturer({}).capture(parts, CPU)


def test_values_of_the_config_are_new_and_what_was_learned_stays() -> None:
    learned = run()
    learn(learned)
    live = run(lr=0.5, epochs=7)
    restore(merged(captured(learned), captured(run()), captured(run(lr=0.5, epochs=7))), live, {}, CPU)
    assert live["optimizer"].param_groups[0]["lr"] == 0.5
    assert live["optimizer"].param_groups[0]["momentum"] == 0.9
    assert live["settings"].epochs == 7
    assert live["settings"].done == 5
    assert torch.equal(live["settings"].kept["more"], torch.ones(2))
    assert torch.equal(live["network"][0].weight, learned["network"][0].weight)
    momentum = learned["optimizer"].state[learned["network"][0].weight]["momentum_buffer"]
    assert torch.equal(live["optimizer"].state[live["network"][0].weight]["momentum_buffer"], momentum)


def test_what_is_captured_under_other_ids_stays() -> None:
    learned, more = run(), Mean()
    learn(learned)
    saved, shifted = captured(learned), Capturer({}).capture({"more": more, **run()}, CPU)[1:]
    live = run()
    restore(merged(saved, captured(run()), shifted), live, {}, CPU)
    assert live["settings"].seen == {1, 2}


def test_the_same_config_changes_nothing() -> None:
    learned = run()
    learn(learned)
    saved = captured(learned)
    assert repr(merged(saved, captured(run()), captured(run()))) == repr(saved)


@pytest.mark.parametrize(("other", "place"), [({"sizes": (4, 4)}, "network")])
def test_other_parts_are_refused_with_their_place(other: dict[str, Any], place: str) -> None:
    with pytest.raises(OtherPartsError, match=place):
        merged(captured(run()), captured(run()), captured(run(**other)))


def test_a_word_in_place_of_nothing_is_taken() -> None:
    live = run(name="new")
    restore(merged(captured(run()), captured(run()), captured(run(name="new"))), live, {}, CPU)
    assert live["settings"].name == "new"
