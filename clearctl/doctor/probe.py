"""The child process of `imports`: imports one module after another and writes a line of JSON about each.

Started as a file, with the names to import on stdin, so that not even its own start needs a package. The output of the
modules is discarded; the lines go to the original stdout.
"""

import importlib
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def torch_facts() -> dict[str, Any]:
    """The devices that torch can compute on, and the folder for its downloads."""
    import torch

    from clearctl.engine.gpu import describe_gpu, driver_versions

    driver, driver_cuda = driver_versions()
    gpus = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        described = describe_gpu(device) or {}
        gpus.append({"name": torch.cuda.get_device_name(device), **described, "fault": _gpu_fault(device)})
    return {
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "driver": driver,
        "driver_cuda": driver_cuda,
        "gpus": gpus,
        "threads": torch.get_num_threads(),
        "hub": torch.hub.get_dir(),
    }


def _gpu_fault(device: Any) -> str | None:
    """The reason why a small product on `device` fails; None if it does not."""
    import torch

    try:
        product = torch.ones(8, 8, device=device) @ torch.ones(8, 8, device=device)
        return None if float(product[0, 0]) == 8.0 else f"a matrix product gives {float(product[0, 0])} instead of 8"
    except RuntimeError as error:
        return str(error).strip().partition("\n")[0]


def wandb_facts() -> dict[str, Any]:
    """Whether W&B has a login, as a run would find it."""
    from clearctl.strategies.loggers.wandb_login import logged_in

    return {"logged_in": logged_in()}


FACTS: Mapping[str, Callable[[], dict[str, Any]]] = {"torch": torch_facts, "wandb": wandb_facts}


def imported(name: str) -> dict[str, Any]:
    """The outcome of importing the module `name`, with the fields of `imports.Imported`."""
    try:
        if name.startswith("avalanche"):  # which then leaves alone what it leaves alone in a run
            importlib.import_module("clearctl.strategies")
        module = importlib.import_module(name)
        # Of a module that `clearctl.strategies` defers, asking for a name is what runs its code.
        version = getattr(sys.modules.get(name.partition(".")[0], module), "__version__", None)
    except KeyboardInterrupt:
        raise
    except SystemExit as ended:
        return {"error": f"its import calls sys.exit({ended.code!r})"}
    except BaseException as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        text = " ".join(str(error).split())
        return {"error": f"its import raises {type(error).__name__}{': ' if text else ''}{text}", "missing": missing}
    answer: dict[str, Any] = {"version": version if isinstance(version, str) else None}
    if name in FACTS:
        try:
            answer["facts"] = FACTS[name]()
        except Exception as error:
            answer["facts_error"] = f"{type(error).__name__}: {error}"
    return answer


def main() -> None:
    """Import what stdin names, with its sys.path, and write a line about each."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    order = json.loads(sys.stdin.buffer.read())
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    sys.path[:] = order["path"]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    for name in order["modules"]:
        answers.write(json.dumps({"module": name, **imported(name)}) + "\n")
        answers.flush()
    os._exit(0)  # the libraries take long to end, and some of those that are broken never do


if __name__ == "__main__":
    main()
