"""Runs that several processes share, each forked from the server of `killing`, without torchrun."""

import socket
from pathlib import Path
from typing import Any

from killing import ChildProcess, Ended, Work


def environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """What torchrun gives a process of one machine, but for a store of its own."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    return {
        **{name: str(value) for name, value in numbers.items()},
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def begin(
    target: Path, processes: int, special: dict[int, dict[str, Any]] | None = None, **work: Any
) -> list[ChildProcess]:
    """The processes of a run, which do a Work; those in `special` one that differs in what is there."""
    port = free_port() if processes > 1 else 0
    children = []
    for rank in range(processes):
        environ = environment(rank, processes, port) if processes > 1 else {}
        children.append(ChildProcess(Work(target, environ=environ, **{**work, **(special or {}).get(rank, {})})))
    return children


def run_by_processes(processes: int, target: Path, **work: Any) -> Ended:
    """Do a Work by several processes, which all must come to the same end; what the first says."""
    ends = [child.end() for child in begin(target, processes, **work)]
    for ended in ends:
        ended.require()
        assert ended.run == ends[0].run
        assert ended.matrix == ends[0].matrix
    return ends[0]


def what_is_learned(config: Path) -> dict[str, bytes]:
    """The samples in the memories, in their order, the weights and torch's generator, after all buckets, in bytes."""
    import torch

    from clearctl.config.fill import fill
    from clearctl.distributed.randomness import seed_everything
    from clearctl.engine.build.config import open_config
    from clearctl.engine.build.experiment import build_experiment
    from clearctl.engine.build.model import build_model
    from clearctl.engine.build.stream import build_stream
    from clearctl.progress import ignore
    from clearctl.strategies.patches import applied

    settings = fill(open_config(config))
    seed_everything(0)
    stream = build_stream(settings.scenario, settings.data)
    model = build_model(settings, stream, ignore)
    with applied():
        experiment = build_experiment(settings, stream, model, torch.device("cpu"), run=None)
        strategy = experiment.strategy
        for bucket in experiment.benchmark.train_stream:
            strategy.train(bucket)
    memories = []
    for holder in (strategy, *strategy.plugins):
        policy = getattr(holder, "storage_policy", None)
        memories += [policy.buffer] if policy is not None else getattr(holder, "buffers", [])
    assert all(len(memory) for memory in memories)
    found = {
        f"memory {number}": torch.stack([memory[place][0] for place in range(len(memory))])
        for number, memory in enumerate(memories)
    }
    found["weights"] = torch.cat([value.flatten() for value in strategy.model.state_dict().values()])
    found["generator"] = torch.get_rng_state()
    return {name: value.numpy().tobytes() for name, value in found.items()}
