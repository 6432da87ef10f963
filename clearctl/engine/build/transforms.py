"""Builds the transforms of a config's scenario. Imports neither Avalanche nor mmcls."""

from collections.abc import Sequence
from typing import Any

from clearctl.config.fill import INNER
from clearctl.config.settings import Call, Settings
from clearctl.data.transforms import compose
from clearctl.engine.build.calls import build
from clearctl.engine.build.catalogue import CATALOGUE


def build_transforms(settings: Settings) -> tuple[Any, Any]:
    """(train, eval) transforms of images; (None, None) for features."""
    scenario = settings.scenario
    if scenario.feature_type:
        return None, None
    built = []
    for name, calls in (("train_transform", scenario.train_transform), ("eval_transform", scenario.eval_transform)):
        steps = build_steps(calls)
        if not any(type(step).__name__ in ("ToTensor", "PILToTensor") for step in steps):
            raise settings.error(f"scenario.{name}", "images need dict(type='ToTensor') among the transforms")
        built.append(compose(steps))
    return built[0], built[1]


def build_steps(calls: Sequence[Call]) -> list[Any]:
    """The transforms of a list, one after another."""
    return [build(_with_inner(call), CATALOGUE.transforms) for call in calls]


def _with_inner(call: Call) -> Call:
    inner = call.arguments.get(INNER)
    if isinstance(inner, list) and inner and all(isinstance(each, Call) for each in inner):
        return call.having(**{INNER: build_steps(inner)})
    return call
