"""The transforms that a config's scenario lists, built. Imports neither Avalanche nor mmcls."""

from typing import Any

from clearctl.config.load import Config
from clearctl.data.transforms import compose
from clearctl.engine.build.calls import call, fault
from clearctl.engine.build.catalogue import CATALOGUE

NAMES = ("train_transform", "eval_transform")


def build_transforms(config: Config) -> tuple[Any, Any]:
    """(train, eval) transforms of images; (None, None) for features."""
    scenario = config.values["scenario"]
    if scenario.get("feature_type"):
        return None, None
    built = []
    for name in NAMES:
        steps = build_steps(config, name)
        if not any(type(step).__name__ in ("ToTensor", "PILToTensor") for step in steps):
            raise fault(config, f"scenario.{name}", "images need dict(type='ToTensor') among the transforms")
        built.append(compose(steps))
    return built[0], built[1]


def build_steps(config: Config, name: str) -> list[Any]:
    """The transforms that `name` in the scenario lists, one after another."""
    entries = config.values["scenario"].get(name) or []
    return [
        call(config, f"scenario.{name}.{index}", CATALOGUE.transforms, entry) for index, entry in enumerate(entries)
    ]
