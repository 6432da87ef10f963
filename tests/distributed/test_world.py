"""The processes of a run: their numbers, and what they exchange."""

import os
from datetime import timedelta
from typing import Any

import pytest
import torch
from process_groups import run_in_processes
from sharing import environment, free_port
from torch import distributed
from torch.distributed import TCPStore

from clearctl.distributed import world
from clearctl.distributed.world import Agreement, PeerLostError, detect_lost_peers, process_group
from clearctl.errors import RunError

CPU = torch.device("cpu")
ALONE = (1, 0, 0, 1, True)


def numbers() -> tuple[Any, ...]:
    return world.size(), world.rank(), world.local_rank(), world.local_size(), world.is_first()


def be(monkeypatch: pytest.MonkeyPatch, rank: int, processes: int, **more: object) -> None:
    for name, value in {**environment(rank, processes, free_port()), **more}.items():
        monkeypatch.setenv(name, str(value))


def test_without_torchrun_there_is_one_process() -> None:
    assert numbers() == ALONE
    assert world.broadcast("a") == "a"
    assert world.gather_to_first("a") == ["a"]
    assert [Agreement().reached(15), Agreement().reached(0)] == [15, 0]
    assert world.is_first_to_report()
    assert world.is_first_to_report()
    with process_group(CPU):
        assert not distributed.is_initialized()
    world.remember("run", "here")
    assert world.recall("run") is None


def test_the_numbers_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 2, 4, LOCAL_RANK=1, LOCAL_WORLD_SIZE=2)
    assert numbers() == (4, 2, 1, 2, False)
    assert (world.restart_count(), world.restarts_processes()) == (0, False)
    be(monkeypatch, 0, 4, TORCHELASTIC_RESTART_COUNT=1, TORCHELASTIC_MAX_RESTARTS=2)
    assert numbers() == (4, 0, 0, 4, True)
    assert (world.restart_count(), world.restarts_processes()) == (1, True)
    be(monkeypatch, 0, 4, TORCHELASTIC_RESTART_COUNT=2)
    assert (world.restart_count(), world.restarts_processes()) == (2, False)


@pytest.mark.parametrize("missing", sorted(environment(0, 2, 1)))
def test_what_a_cluster_sets_alone_is_one_process(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1, 2, TORCHELASTIC_RESTART_COUNT=1, TORCHELASTIC_MAX_RESTARTS=2)
    monkeypatch.delenv(missing)
    assert numbers() == ALONE
    assert (world.restart_count(), world.restarts_processes()) == (0, False)


def talk() -> dict[str, Any]:
    rank = world.rank()
    with process_group(CPU):  # in what is there already
        found: dict[str, Any] = {"numbers": numbers(), "of the first": world.broadcast({"rank": torch.tensor([rank])})}
    found["collected"] = world.gather_to_first((rank, "x" * rank))
    agreement = Agreement()
    # One has been asked at its third call, another at its sixth; who works longest is the last to call.
    asked = {0: [0] * 8, 1: [0, 0, 2, 0, 0, 0, 0, 0], 2: [0, 0, 0, 0, 0, 15, 2, 0]}[rank]
    found["reached"] = [agreement.reached(number) for number in asked]
    found["not told"] = (world.is_first_to_report(), world.is_first_to_report())
    found["nothing kept"] = world.recall("run")
    found.update(_with_store())
    return found


def _with_store() -> dict[str, Any]:
    """As under torchrun, whose store is here that of the first process."""
    os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    found: dict[str, Any] = {"told": [world.is_first_to_report() for _ in range(3)]}
    world.gather_to_first(None)
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "1"
    found["told again"] = world.is_first_to_report()
    if world.is_first():
        world.remember("run", "a folder: ä")
    world.broadcast(None)
    os.environ["TORCHELASTIC_RESTART_COUNT"] = "2"
    found["kept"] = world.recall("run"), world.recall("other")
    world.gather_to_first(None)  # before the store is gone
    return found


def test_what_processes_report_each_other() -> None:
    ranks = run_in_processes(3, talk)
    assert [found["numbers"] for found in ranks] == [(3, rank, rank, 3, rank == 0) for rank in range(3)]
    assert [found["of the first"] for found in ranks] == [{"rank": torch.tensor([0])}] * 3
    assert [found["collected"] for found in ranks] == [[(0, ""), (1, "x"), (2, "xx")], [], []]
    assert [found["reached"] for found in ranks] == [[0, 0, 0, 2, 0, 0, 15, 2]] * 3
    assert [found["not told"] for found in ranks] == [(True, True), (False, False), (False, False)]
    assert [found["nothing kept"] for found in ranks] == [None] * 3
    assert sum(sum(found["told"]) for found in ranks) == 1
    assert sum(found["told again"] for found in ranks) == 1
    assert [found["kept"] for found in ranks] == [("a folder: ä", None)] * 3


def lose_another() -> tuple[str, str, bool]:
    """The last process ends silently, while the others wait for it."""
    if world.rank() == world.size() - 1:
        os._exit(1)
    try:
        with detect_lost_peers():
            distributed.all_reduce(torch.ones(3))
    except PeerLostError as error:
        return "lost", str(error), isinstance(error.__cause__, RuntimeError)
    return "nothing", "", False


def test_a_process_that_has_ended_is_noticed() -> None:
    assert (
        run_in_processes(3, lose_another, dying=(2,)) == [("lost", "another process of this run has ended", True)] * 2
    )


def test_other_errors_are_no_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="gloo") as caught, detect_lost_peers():
        raise RuntimeError("gloo: Connection closed by peer")
    assert not isinstance(caught.value, PeerLostError)  # there are no others
    be(monkeypatch, 0, 2)
    with pytest.raises(RuntimeError) as caught, detect_lost_peers():
        torch.zeros(2) + torch.zeros(3)
    assert not isinstance(caught.value, PeerLostError)


def test_a_store_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process reports, and nothing is kept."""
    monkeypatch.setattr(world, "STORE_TIMEOUT", world.STORE_TIMEOUT / 100)
    for rank in range(2):
        be(monkeypatch, rank, 2, TORCHELASTIC_USE_AGENT_STORE=True)
        assert world.is_first_to_report() == (rank == 0)
    assert world.recall("run") is None


def test_who_does_not_come_to_the_meeting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for name, value in {**environment(0, 3, server.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(world, "START_TIMEOUT", timedelta(seconds=1))
    server.set("clearctl/attempt/0/there/2", "")
    with pytest.raises(RunError, match="^process 1 of 3 did not connect"), world.process_group(torch.device("cpu")):
        pass
