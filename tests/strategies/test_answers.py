"""What the scores of a network are: probabilities by softmax, or something else that is named."""

from pathlib import Path

import pytest
import torch

from clearctl.config.fill import fill
from clearctl.config.load import load
from clearctl.strategies.answers import changes_answers, why_no_probabilities
from clearctl.strategies.methods.streaming_lda import StreamingLDA
from clearctl.strategies.traits import STRATEGIES, traits_of


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("{'type': 'CrossEntropyLoss'}", None),
        ("{'type': 'LabelSmoothLoss', 'label_smooth_val': 0.1}", None),
        (
            "{'type': 'LabelSmoothLoss', 'label_smooth_val': 0.1, 'mode': 'multi_label'}",
            "LabelSmoothLoss with a sigmoid",
        ),
        ("{'type': 'CrossEntropyLoss', 'use_sigmoid': True}", "CrossEntropyLoss with a sigmoid"),
        ("{'type': 'FocalLoss'}", "FocalLoss"),
        ("{'type': 'losses:CrossEntropyLoss'}", "losses:CrossEntropyLoss"),
        ("None", None),
    ],
)
@pytest.mark.parametrize("key", ["cl_strategy.loss", "model.head.loss"])
def test_by_the_loss(loss: str, expected: str | None, key: str, features_config: Path) -> None:
    overrides = ["scenario.dataset_root=nowhere", "work_dir=nowhere", "seed=0", f"{key}={loss}"]
    found = why_no_probabilities(fill(load(features_config, overrides)))
    assert found == (expected and f"the network was trained by {expected}: scores are not probabilities")


def test_what_every_closed_form_gives_is_known() -> None:
    """Of those that solve for a head a discriminant alone gives probabilities."""
    once = {name for name, row in STRATEGIES.items() if row.sees_samples_once}
    assert {name for name in once if traits_of(name).scores is None} == {"BatchSLDA", "KLDA"}


class Renamed(StreamingLDA):
    """Of a user's own, with the forward that it inherits."""


class Halved(Renamed):
    def forward(self, return_features: bool = False) -> torch.Tensor:
        return self.model(self.mb_x) / 2


def test_a_strategy_of_a_users_own_by_what_it_overrides() -> None:
    for kind, expected in ((Renamed, None), (Halved, "Halved")):
        strategy = object.__new__(kind)
        strategy.plugins = []
        assert changes_answers(strategy) == expected
