"""Plugins against the rest of a config: what they need of it, and which of them cannot go together."""

from collections.abc import Collection, Mapping
from typing import Any

from clearctl.config.findings import Findings

# Plugins that change steps of an optimizer.
OF_STEPS = ("ExponentialMovingAverage", "GradientClipping", "WarmUp")
# Plugins that decide which weights a bucket ends with.
OF_WEIGHTS = ("ExponentialMovingAverage", "RestoreBestEpoch")


def check_plugins(found: Findings, key: str, section: Mapping[str, Any], accepted: Collection[str]) -> None:
    """Add to `found` what is wrong with the plugins of the strategy at `key`, which takes arguments `accepted`."""
    plugins = section.get("plugins")
    types = [entry.get("type") for entry in plugins if isinstance(entry, dict)] if isinstance(plugins, list) else []
    for index, name in enumerate(types):
        if name in OF_STEPS and "optimizer" not in accepted:
            found.add(f"{key}.plugins.{index}", f"{section['type']} learns without an optimizer: leave {name} out")
    deciding = [index for index, name in enumerate(types) if name in OF_WEIGHTS]
    if len(deciding) > 1:
        both = " and ".join(str(types[index]) for index in deciding)
        found.add(
            f"{key}.plugins.{deciding[-1]}", f"{both} each decide which weights a bucket ends with: leave one out"
        )
