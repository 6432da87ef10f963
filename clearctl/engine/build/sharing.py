"""What of a config several processes can share, and what its batch sizes mean for them."""

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
        call.fault("'sample' is worked out by one process: run it with one, or use 'batch'", "importance")
        for call in strategy.calls
        if call.arguments.get("importance") == "sample"
    ]
    for call in strategy.calls:
        if not traits_of(call.type).shareable and not _declares_shareable(call.type):
            shared = shareable(STRATEGIES if call is strategy.call else PLUGINS)
            own = "; or give the class shareable = True" if is_own(call.type) else ""
            text = (
                f"{call.type} was never tried with several processes: run it with one, or use {', '.join(shared)}{own}"
            )
            faults.append(call.fault(text, "type"))
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


def of_all_processes(strategy: StrategySettings) -> StrategySettings:
    """A strategy with the sizes of each process's batches made those of the whole batches."""

    def whole(call: Call) -> Call:
        given = {name: value for name, value in call.arguments.items() if name in BATCH_SIZES and value}
        return call.having(**{name: value * world.size() for name, value in given.items()})

    return replace(strategy, call=whole(strategy.call), plugins=tuple(map(whole, strategy.plugins)))
