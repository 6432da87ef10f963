"""Training steps timed with other options of a GPU: which, that nothing of them is left, and what fails is said."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from rehearsal.gpu import RehearsalGpu

from clearctl.engine.build.config import open_config
from clearctl.engine.run import step_speed
from clearctl.engine.run.dry_run import dry_run, dry_run_config
from clearctl.models.classifier import Classifier
from clearctl.progress import Counted

OWN = """
import torch


class Picky(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError('"picky" not implemented for BFloat16')
        return self.weight(x)
"""


@pytest.fixture(autouse=True)
def one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_speed, "STEPS", 1)


def test_the_configs_own_option_comes_first(tiny_config: Path, prepared: Path) -> None:
    heard = []
    before = sorted(prepared.rglob("*"))
    switches = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with RehearsalGpu():
        found = dry_run(
            tiny_config,
            device="cuda",
            dataset_root=prepared,
            overrides=["precision=bf16", "cl_strategy.type=LwF", "cl_strategy.alpha=1", "cl_strategy.temperature=2"],
            listener=heard.append,
        )
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == switches
    assert [(speed.name, speed.arguments) for speed in found.speeds] == [
        ("bf16", "--precision bf16"),
        ("tf32", "--set tf32=True"),
        ("bf16, channels_last", "--precision bf16 --set channels_last=True"),
    ]
    for speed in found.speeds:
        assert speed.images_per_s is not None
        assert speed.gain == speed.images_per_s / found.speeds[0].images_per_s
    assert [event.done for event in heard if isinstance(event, Counted) and event.work == "measure training steps"] == [
        1,
        2,
        3,
    ]
    assert sorted(prepared.rglob("*")) == before


def test_each_is_what_it_is_called_on_the_same_images_from_the_same_weights(
    tiny_config: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    forward = Classifier.forward

    def watched(self: Classifier, x: torch.Tensor) -> torch.Tensor:
        weight = next(self.parameters())
        if self.training and len(x) > 1:
            compute = self.autocast, self.channels_last, torch.backends.cuda.matmul.allow_tf32
            seen.append((id(self), compute, weight.detach().clone(), x.detach().clone()))
        return forward(self, x)

    monkeypatch.setattr(Classifier, "forward", watched)
    with RehearsalGpu():
        opened = open_config(tiny_config, dataset_root=prepared)
        dry_run_config(opened, device="cuda", compares_speeds=True)
        of_dry_run = seen[0][0]
        firsts: dict[int, tuple] = {}
        for number, *rest in seen:
            firsts.setdefault(number, rest)
        del firsts[of_dry_run]
        computes = [compute for compute, _, _ in firsts.values()]
        assert computes == [
            (None, False, False),
            (torch.bfloat16, False, False),
            (None, False, True),
            (torch.bfloat16, True, False),
        ]
        (_, weight, x), *others = firsts.values()
        assert len(x) == 8
        for _, same_weight, same_x in others:
            assert torch.equal(same_weight, weight)
            assert torch.equal(same_x, x)


def test_what_fails_is_said_beside_the_others(tiny_config: Path, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "picky.py").write_text(OWN)
    config = tmp_path / "config.py"
    config.write_text(
        f"_base_ = [{str(tiny_config)!r}]\nmodel = dict(backbone=dict(_delete_=True, type='picky:Picky'))\n"
    )
    with RehearsalGpu():
        plain, bf16, tf32, both = dry_run(config, device="cuda", dataset_root=prepared).speeds
    assert [speed.fault for speed in (plain, tf32)] == [None, None]
    expected = dict(images_per_s=None, gain=None, fault='"picky" not implemented for BFloat16')
    assert [asdict(speed).items() >= expected.items() for speed in (bf16, both)] == [True, True]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_there_is_nothing_to_compare(device: str, tiny_config: Path, features_config: Path, prepared: Path) -> None:
    """Features, a CPU, and where nobody asked, as in the estimate of a sweep."""
    given = dict(device=device, dataset_root=prepared)
    with RehearsalGpu():
        assert dry_run(features_config, **given).speeds == ()
        if device == "cpu":
            assert dry_run(tiny_config, **given).speeds == ()
        opened = open_config(tiny_config, dataset_root=prepared)
        assert dry_run_config(opened, device=device).speeds == ()
