"""A run shared by two processes, each with a rehearsal GPU of its own: what they exchange, and where it lies.

Tensors on the GPU would go by NCCL and are checked against what it takes (`RehearsalGpu.require_nccl`); here gloo sends
them. torch's batch norms over several processes run with stand-ins for their kernels. This cannot show NCCL itself: its
kernels, its order on streams, what it does when a process is lost, and its speed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from process_groups import run_in_processes
from rehearsal.gpu import RehearsalGpu
from test_strategies import SMALL
from torch import distributed

from clearctl import train
from clearctl.engine.machine import current_device
from clearctl.models.sync_bn import synchronised, synchronising

pytest_plugins = ("blobs",)


def trained(config: Path, work_dir: Path, overrides: tuple[str, ...]) -> dict[str, Any]:
    """What a process of a run on GPUs gives: its matrix, what it exchanged, and how its group was made."""
    with RehearsalGpu() as gpu:
        found = train(config, device="cuda", work_dir=work_dir, overrides=overrides)
    assert not gpu.elsewhere
    [group] = gpu.groups
    return {
        "matrix": found.matrix.tolist(),
        "touched": gpu.touched,
        "collectives": {(name, device, str(dtype)) for name, device, dtype in gpu.collectives},
        "backend": group["backend"],
        "current": str(group["current"]),
        "device_id": str(group["device_id"]),
    }


@pytest.mark.parametrize("base", ["naive", "replay"])
def test_a_shared_run(base: str, write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config(base, **SMALL[base])
    expected = train(config, device="cpu", work_dir=tmp_path / "alone").matrix.tolist()
    found = run_in_processes(2, trained, config, tmp_path / "shared", (), device=None)
    for rank, of_process in enumerate(found):
        own = f"cuda:{rank}"
        assert of_process["matrix"] == expected
        assert of_process["touched"] == {rank}
        assert (of_process["backend"], of_process["current"], of_process["device_id"]) == (
            "cpu:gloo,cuda:nccl",
            own,
            own,
        )
        by_nccl = {name for name, device, _ in of_process["collectives"] if device == own}
        assert by_nccl == {"allreduce_", "_allgather_base_"}  # gradients; scores
        # Objects, and the step that all stop at, are exchanged by gloo.
        by_gloo = {(name, dtype) for name, device, dtype in of_process["collectives"] if device == "cpu"}
        assert ("broadcast_", "torch.uint8") in by_gloo
        assert ("allreduce_", "torch.int64") in by_gloo
        assert {device for _, device, _ in of_process["collectives"]} == {own, "cpu"}


def kernels() -> torch.library.Library:
    """torch's operations of batch norms over several processes, which it has for GPUs alone, by their definitions."""
    found = torch.library.Library("aten", "IMPL", "CPU")

    def rows(x: torch.Tensor) -> torch.Tensor:
        return x.transpose(0, 1).flatten(1)  # [C, M]

    def across(x: torch.Tensor, of_channel: torch.Tensor) -> torch.Tensor:
        return of_channel.view(1, -1, *[1] * (x.ndim - 2))

    def gather(
        x: Any, means: Any, invstds: Any, running_mean: Any, running_var: Any, momentum: Any, eps: Any, n: Any
    ) -> Any:
        n = n.view(-1, 1)
        mean = (means * n).sum(0) / n.sum()
        squares = ((invstds.pow(-2) - eps + (means - mean).square()) * n).sum(0)
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(squares / (n.sum() - 1), momentum)
        return mean, (squares / n.sum() + eps).rsqrt()

    def reduce(g: Any, x: Any, mean: Any, invstd: Any, weight: Any, *wanted: bool) -> Any:
        sum_dy = rows(g).sum(1)
        sum_dy_xmu = (rows(g) * (rows(x) - mean[:, None])).sum(1)
        return sum_dy, sum_dy_xmu, sum_dy_xmu * invstd, sum_dy.clone()

    def input_gradient(g: Any, x: Any, mean: Any, invstd: Any, weight: Any, dy: Any, dy_xmu: Any, count: Any) -> Any:
        n = count.sum()
        apart = (x - across(x, mean)) * across(x, invstd.square() * dy_xmu / n)
        return (g - across(x, dy / n) - apart) * across(x, invstd * weight)

    found.impl("batch_norm_stats", lambda x, eps: (rows(x).mean(1), (rows(x).var(1, correction=0) + eps).rsqrt()))
    found.impl("batch_norm_gather_stats_with_counts", gather)
    found.impl(
        "batch_norm_elemt",
        lambda x, weight, bias, mean, invstd, eps: (x - across(x, mean)) * across(x, invstd * weight) + across(x, bias),
    )
    found.impl("batch_norm_backward_reduce", reduce)
    found.impl("batch_norm_backward_elemt", input_gradient)
    return found


def normalised(device: str) -> list[torch.Tensor]:
    """Output, gradients and running statistics of a batch norm over the rows of both processes."""
    rank = distributed.get_rank()
    x = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(rank)).to(device).requires_grad_()
    network = synchronised(torch.nn.BatchNorm1d(3)).to(device)
    with synchronising():
        y = network(x)
    y.square().cumsum(0).sum().backward()
    (norm,) = network.modules()
    return [one.detach().cpu() for one in (y, x.grad, norm.weight.grad, norm.bias.grad, norm.running_var)]


def normalised_on_both() -> tuple[list[torch.Tensor], list[torch.Tensor], set[tuple[str, str]]]:
    """On a GPU with torch's code and on the CPU with clearctl's; and what the first exchanged, and where."""
    own = torch.device("cuda", distributed.get_rank())
    registered = kernels()
    with RehearsalGpu() as gpu, current_device(own):
        found = normalised(str(own))
    registered._destroy()
    return found, normalised("cpu"), {(name, device) for name, device, _ in gpu.collectives}


def test_batch_norms_over_the_rows_of_both() -> None:
    for rank, (on_gpu, on_cpu, exchanged) in enumerate(run_in_processes(2, normalised_on_both)):
        torch.testing.assert_close(on_gpu, on_cpu)
        assert {device for _, device in exchanged} == {f"cuda:{rank}"}
        assert "allreduce_" in {name for name, _ in exchanged}


def test_a_group_of_both_backends_exchanges_objects_on_the_host() -> None:
    [device] = set(run_in_processes(2, device_of_objects, device=None))
    assert device == "cpu"


def device_of_objects() -> str:
    """The device that torch chooses for objects in a group made as a run on GPUs makes it, but for NCCL itself."""
    distributed.init_process_group("cpu:gloo,cuda:gloo")
    found: str = distributed.distributed_c10d._get_object_coll_device()
    assert {one.type for one in distributed.group.WORLD._device_types} == {"cpu", "cuda"}
    values: list[Any] = [distributed.get_rank()]
    distributed.broadcast_object_list(values, 0)
    assert values == [0]
    distributed.destroy_process_group()
    return found
