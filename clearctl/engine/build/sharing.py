"""Checks what of a config several processes can share, and converts its batch sizes for them."""

import socket
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from clearctl.config.load import Config, flatten
from clearctl.config.own import find, is_own
from clearctl.config.settings import Call, StrategySettings
from clearctl.distributed import world
from clearctl.distributed.world import gather_to_first
from clearctl.errors import ConfigError, RunError
from clearctl.strategies.traits import BATCH_SIZES, PLUGINS, STRATEGIES, shareable, traits_of

PLACES = ("scenario.dataset_root", "data.cache_dir")  # may be another on each machine


def require_shareable(strategy: StrategySettings) -> None:
    """Raise ConfigError, naming each, for what several processes cannot share; with one there is nothing to refuse."""
    if world.size() == 1:
        return
    faults = [
        call.fault("'sample' is computed by one process: run with one process, or use 'batch'", "importance")
        for call in strategy.calls
        if call.arguments.get("importance") == "sample"
    ]
    for call in strategy.calls:
        if not traits_of(call.type).shareable and not _declares_shareable(call.type):
            shared = shareable(STRATEGIES if call is strategy.call else PLUGINS)
            own = "; or set shareable = True in the class" if is_own(call.type) else ""
            text = f"{call.type} is not tested with several processes: run with one, or use {', '.join(shared)}{own}"
            faults.append(call.fault(text, "type"))
    if faults:
        raise ConfigError("\n".join(map(str, faults)))


def _declares_shareable(name: str) -> bool:
    """Whether a user-defined class says of itself that several processes may share its run."""
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
                f"process {rank}, on {machine}, differs from the first in {', '.join(keys)}\n"
                "use the same config and dataset on all machines"
            )


def with_global_batch_sizes(strategy: StrategySettings) -> StrategySettings:
    """A strategy with batch sizes per process converted to those of the whole batches."""

    def whole(call: Call) -> Call:
        given = {name: value for name, value in call.arguments.items() if name in BATCH_SIZES and value}
        return call.having(**{name: value * world.size() for name, value in given.items()})

    return replace(strategy, call=whole(strategy.call), plugins=tuple(map(whole, strategy.plugins)))
