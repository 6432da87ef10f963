"""Numbers that each process draws for its own rows, and those that all draw alike."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from sharing import environment

from clearctl.distributed.randomness import (
    passes,
    random_states,
    rank_random_numbers,
    seed_everything,
    seed_worker,
    set_passes,
    set_random_states,
)

CPU = torch.device("cpu")

Numbers = tuple[float, float, float]


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    """The generators of the tests that follow."""
    states = random_states()
    yield
    set_random_states(states)


def draw() -> Numbers:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def draw_own() -> Numbers:
    with rank_random_numbers(CPU, transforms=True):
        return draw()


def draw_own_and_fail() -> float:
    with rank_random_numbers(CPU, transforms=True):
        return random.random() / np.random.rand() / torch.zeros(()).item()


def be(monkeypatch: pytest.MonkeyPatch, rank: int, processes: int = 3) -> None:
    for name, value in environment(rank, processes, 1).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 7])
def test_seed_everything_seeds_all_three(seed: int) -> None:
    seed_everything(seed)
    first = draw()
    seed_everything(seed + 1)
    other = draw()
    seed_everything(seed)
    assert draw() == first
    assert all(one != another for one, another in zip(first, other, strict=True))


def test_one_process_draws_all_from_the_same_generators() -> None:
    seed_everything(3)
    expected = [draw(), draw()]
    seed_everything(3)
    assert [draw_own(), draw()] == expected
    assert passes() == 0


def test_each_process_draws_its_own_and_then_the_same_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    seed_everything(3)
    alike = [draw(), draw(), draw()]
    own = []
    for rank in range(3):
        be(monkeypatch, rank)
        seed_everything(3)
        found = [draw()]
        own += [draw_own(), draw_own()]
        found.append(draw())
        with pytest.raises(ZeroDivisionError):
            draw_own_and_fail()
        found.append(draw())
        assert found == alike
        assert passes() == 3
    for numbers in zip(*own, *alike, strict=True):
        assert len(set(numbers)) == len(numbers)  # of each generator: none is another's


def test_a_pass_of_a_network_sets_torchs_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1)
    seed_everything(3)
    expected = [draw(), draw()]
    seed_everything(3)
    with rank_random_numbers(CPU):
        within = draw()
    assert within[:2] == expected[0][:2]
    assert within[2] != expected[0][2]
    assert draw() == (*expected[1][:2], expected[0][2])


def test_they_depend_on_the_runs_seed_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1)
    found = []
    for number in (3, 4, 3, 2**63 + 3):
        seed_everything(number)
        found.append([draw_own(), draw_own()])
    assert found[0] == found[2]
    assert found[0] != found[1]
    assert found[0] != found[3]


def test_continuing_from_random_states(monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of passes is part of the state, and the same for all: each continues from the state of the first."""
    be(monkeypatch, 0)
    seed_everything(3)
    draw(), draw_own(), draw_own()
    states = random_states()
    be(monkeypatch, 1)
    expected = [draw_own(), draw(), draw_own()]
    seed_everything(3)  # as a run begins that continues
    set_random_states(states)
    assert passes() == 2
    assert [draw_own(), draw(), draw_own()] == expected
    set_passes(2)
    assert draw_own() == expected[0]


def test_workers_of_all_processes_draw_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for rank in range(3):
        be(monkeypatch, rank)
        for worker in range(2):
            torch.manual_seed(77 + worker)  # as a loader seeds its workers, in every process
            seed_worker(worker)
            found.append(draw())
    for numbers in zip(*found, strict=True):
        assert len(set(numbers)) == 6


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 0)
    seed_everything(3)
    alike = torch.rand(2, device=device).tolist()
    own = []
    for rank in range(2):
        be(monkeypatch, rank)
        seed_everything(3)
        with rank_random_numbers(device):
            own.append(float(torch.rand((), device=device)))
        assert torch.rand(2, device=device).tolist() == alike
    assert len({*own, *alike}) == 4
