"""Functions done by several processes that talk by gloo, each forked from the server of `killing`."""

import gc
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import time
import traceback
from collections.abc import Callable, Collection
from contextlib import nullcontext
from multiprocessing.connection import Connection, wait
from typing import Any

from killing import CONTEXT, start_forked
from sharing import environment, free_port

PATIENCE_S = 300.0


def run_in_processes(
    processes: int,
    function: Callable[..., Any],
    *arguments: Any,
    dying: Collection[int] = (),
    device: str | None = "cpu",
) -> list[Any]:
    """What `function(*arguments)` gives in each of so many processes, by rank, but of those that are to be `dying`.

    They can talk about tensors on `device`; with None the function makes the process group itself.
    An error in one of them fails the test, with its traceback. Where they wait for each other too long, they are
    killed.
    """
    port = free_port()
    processes_and_pipes = []
    for rank in range(processes):
        ours, theirs = CONTEXT.Pipe(duplex=False)
        environ = environment(rank, processes, port)
        file, name = inspect.getfile(function), function.__name__
        process = start_forked(_do, environ, theirs, file, name, arguments, device)
        theirs.close()
        processes_and_pipes.append((process, ours))
    try:
        return _answers({rank: ours for rank, (_, ours) in enumerate(processes_and_pipes) if rank not in dying})
    finally:
        for process, ours in processes_and_pipes:
            process.kill()
            process.join()
            ours.close()


def _answers(connections: dict[int, Connection]) -> list[Any]:
    answers: dict[int, Any] = {}
    until = time.monotonic() + PATIENCE_S
    while len(answers) < len(connections):
        ready = wait([one for rank, one in connections.items() if rank not in answers], until - time.monotonic())
        assert ready, f"only {sorted(answers)} of the processes {sorted(connections)} came to their end"
        for rank, one in connections.items():
            if one in ready:
                answers[rank], error = pickle.loads(one.recv_bytes())
                assert error is None, f"process {rank}:\n{error}"
    return [answers[rank] for rank in connections]


def _do(
    environ: dict[str, str], answer: Connection, file: str, name: str, arguments: tuple[Any, ...], device: str | None
) -> None:
    gc.freeze()  # a collection would write to, and so copy, all that the server has imported
    multiprocessing.set_start_method("fork", force=True)  # its own workers, as in any process but one of a fork server
    import torch

    from clearctl.distributed.world import process_group

    os.environ.update(environ)
    torch.set_num_threads(1)
    found, error = None, None
    try:
        function = getattr(_module(file), name)
        with nullcontext() if device is None else process_group(torch.device(device)):
            found = function(*arguments)
    except BaseException:
        error = traceback.format_exc()
    # Not by torch's own way, which shares memory that is gone with the process.
    answer.send_bytes(pickle.dumps((found, error)))


def _module(file: str) -> Any:
    """A test module, which the server knows by no name."""
    spec = importlib.util.spec_from_file_location("talked_about", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
