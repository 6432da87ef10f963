"""What of a config several processes can share, and what its batch sizes mean for them."""

import socket
from collections.abc import Mapping
from typing import Any

from clearctl.config.load import Config, flatten
from clearctl.config.own import find, is_own
from clearctl.distributed import world
from clearctl.distributed.world import gather_to_first
from clearctl.engine.build.calls import fault
from clearctl.errors import ConfigError, RunError
from clearctl.strategies.registry import SHARED_PLUGINS, SHARED_STRATEGIES

PLACES = ("scenario.dataset_root", "data.cache_dir")  # may be another on each machine
# Arguments of strategies and plugins that `data.batch_per_rank` takes as those of each process.
BATCH_SIZES = ("train_mb_size", "eval_mb_size", "batch_size_mem", "batch_size")


def require_shareable(config: Config) -> None:
    """Raise ConfigError, naming each, for what several processes cannot share; with one there is nothing to refuse."""
    if world.size() == 1:
        return
    section = config.values["cl_strategy"]
    names: list[tuple[str, str, tuple[str, ...]]] = [("cl_strategy", section["type"], SHARED_STRATEGIES)]
    for index, entry in enumerate(section.get("plugins") or []):
        names.append((f"cl_strategy.plugins.{index}", entry["type"], SHARED_PLUGINS))
    entries = {"cl_strategy": section}
    entries.update({f"cl_strategy.plugins.{i}": entry for i, entry in enumerate(section.get("plugins") or [])})
    faults = [
        fault(config, f"{key}.importance", "'sample' is worked out by one process: run it with one, or use 'batch'")
        for key, entry in entries.items()
        if entry.get("importance") == "sample"
    ]
    faults += [
        fault(
            config,
            f"{key}.type",
            f"{name} was never tried with several processes: run it with one, or use {', '.join(shared)}"
            + ("; or give the class shareable = True" if is_own(name) else ""),
        )
        for key, name, shared in names
        if name not in shared and not _declares_shareable(name)
    ]
    if faults:
        raise ConfigError("\n".join(map(str, faults)))


def _declares_shareable(name: str) -> bool:
    """Whether a class of a user's own says of itself that several processes may share its run."""
    return is_own(name) and bool(getattr(find(name), "shareable", False))


def require_alike(config: Config, dataset: Mapping[str, Any]) -> None:
    """Raise RunError in the first process, naming what differs, unless all have its config and `dataset`.

    On another machine they may differ, and the processes would learn from other samples than they think.
    """
    own = {**dict(flatten(config.values)), "dataset": dataset["fingerprint"]}
    for rank, (machine, found) in enumerate(gather_to_first((socket.gethostname(), own))):
        keys = [key for key in {**own, **found} if own.get(key) != found.get(key) and key not in PLACES]
        if keys:
            raise RunError(
                f"process {rank}, on {machine}, has another {', '.join(keys)} than the first\n"
                "give all machines the same config and dataset"
            )


def of_all_processes(section: Mapping[str, Any]) -> dict[str, Any]:
    """A strategy's section with the sizes of each process's batches made those of the whole batches."""

    def whole(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value * world.size() if name in BATCH_SIZES and value else value for name, value in entry.items()}

    return {**whole(section), "plugins": [whole(entry) for entry in section.get("plugins") or []]}
