"""Scaling on paper: the bytes are those that a run exchanges, and the seconds follow from them."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.profiler import ProfilerActivity, profile
from torchvision.models import resnet50

from benchmarks import scaling
from benchmarks.scaling import Links, Network, Step
from clearctl.models.parallel import share_passes

SMALL = Network(parameters=1_000_000, running=1_000, classes=10)
LINKS = Links(inside=1e9, between=1e8, latency=0.0, per_machine=8)


def step(devices: int, batch: int, links: Links = LINKS) -> Step:
    return Step(SMALL, links, devices, batch)


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_the_weights_are_resnet_50s():
    assert scaling.network(1000).parameters == 25_557_032
    assert scaling.network(11).parameters == 25_557_032 - (2048 + 1) * (1000 - 11)


def test_what_is_exchanged_is_what_the_networks_hooks_exchange(group: None):
    net = scaling.network(11)
    network = resnet50(num_classes=net.classes)
    share_passes(network)
    x = torch.rand(4, 3, 32, 32)
    network(x).sum().backward()  # before the first step all have the same running means
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as seen:
        network(x).sum().backward()
    exchanged = [(event.name, event.input_shapes) for event in seen.events() if event.name.startswith("gloo:")]
    assert exchanged == [
        ("gloo:broadcast", [[net.running]]),
        ("gloo:all_gather", [[4, net.classes]]),
        ("gloo:all_reduce", [[net.parameters]]),
    ]


def test_a_ring_passes_on_gradients_twice_and_scores_once():
    four = step(4, 100)
    assert four.rows == 25
    assert four.reduced == 2 * 3 / 4 * 4_000_000
    assert four.gathered == 3 * 25 * 10 * 4
    assert four.exchanged == four.reduced + four.gathered + 4_000
    assert four.uploaded == 25 * 3 * 224 * 224


def test_the_slowest_link_and_every_message_count():
    assert step(8, 800).exchanging == pytest.approx(step(8, 800).exchanged / 1e9)
    assert step(16, 1600).exchanging == pytest.approx(step(16, 1600).exchanged / 1e8)
    slow = Links(inside=1e9, between=1e8, latency=1e-3, per_machine=8)
    assert step(8, 800, slow).exchanging == pytest.approx(step(8, 800).exchanging + 4 * 7e-3)


def test_one_device_exchanges_nothing():
    one = step(1, 256)
    assert (one.exchanged, one.exchanging) == (0, 0)
    assert one.efficiency(100) == one.overlapped(100) == 1
    assert one.fastest(0.9) == float("inf")


@pytest.mark.parametrize("per_device", [False, True])
def test_more_devices_exchange_more_and_are_used_less(per_device: bool):
    steps = [step(devices, 256 * (devices if per_device else 1)) for devices in (1, 2, 4, 8, 16, 32, 64)]
    for fewer, more in zip(steps, steps[1:], strict=False):
        assert more.exchanging > fewer.exchanging
        assert more.efficiency(100) < fewer.efficiency(100)
        assert more.fastest(0.9) < fewer.fastest(0.9)
        assert more.efficiency(200) < more.efficiency(100) < more.overlapped(100) <= 1


def test_a_device_as_fast_as_the_limit_has_that_efficiency():
    eight = step(8, 250)  # 32 rows at most, 31.25 on average
    assert eight.efficiency(eight.fastest(0.9)) == pytest.approx(0.9)


def test_a_batch_of_too_few_rows_is_computed_by_all():
    few = step(64, 127)
    assert (few.rows, few.gathered) == (127, 0)
    assert few.efficiency(100) < 1 / 64
    assert few.fastest(0.9) == 0


def test_measured_on_this_machine():
    assert scaling.measure(torch.device("cpu"), 1) > 0


def test_its_tables(capsys: pytest.CaptureFixture[str]):
    scaling.main(["--images-per-s", "100", "--classes", "1000", "--devices", "1", "8", "64"])
    reported = capsys.readouterr().out
    assert "25,557,032 weights" in reported
    assert "given: 100 images/s" in reported
    rows = [line.split() for line in reported.splitlines() if line.lstrip()[:1].isdigit()]
    assert [row[:2] for row in rows] == [["1", "256"], ["8", "32"], ["64", "4"]] + [
        [n, "256"] for n in ("1", "8", "64")
    ]
    assert [row[7] for row in rows if row[0] == "1"] == ["100.0%", "100.0%"]


def test_without_a_speed_there_is_no_efficiency(capsys: pytest.CaptureFixture[str]):
    scaling.main([])
    reported = capsys.readouterr().out
    assert "90% up to images/s" in reported
    assert "efficiency" not in reported


@pytest.mark.parametrize("words", [["--images-per-s", "0"], ["--measure", "0"], ["--devices", "0"]])
def test_nonsense_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        scaling.main(words)
    assert words[0] in capsys.readouterr().err


def test_the_tables_in_the_docs_are_what_it_prints(capsys: pytest.CaptureFixture[str]):
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    shown = re.search(r"^\$ python -m benchmarks\.scaling (.*)\n((?s:.*?))^```", page, re.MULTILINE)
    scaling.main(shown[1].split())
    assert capsys.readouterr().out == shown[2]
