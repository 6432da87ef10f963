"""What features are extracted with: an architecture and a transform, from the command line or from a config."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl.config.check import check
from clearctl.config.load import Config, load
from clearctl.config.settings import calls_of
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.transforms import build_steps
from clearctl.errors import ConfigError, UsageError

DEFAULT_ARCH = "resnet50"
# The transform of the published features (prepare_features.py in the CLEAR paper's code).
PUBLISHED_TRANSFORM: tuple[dict[str, Any], ...] = (
    {"type": "Resize", "size": 224},
    {"type": "CenterCrop", "size": 224},
    {"type": "ToTensor"},
    {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
)


@dataclass(frozen=True)
class Recipe:
    """What is extracted with: `transform` as a config lists it, and its built `steps`.

    `name` is what the features are called where nobody says.
    """

    arch: str
    arguments: dict[str, Any]
    transform: list[dict[str, Any]]
    steps: list[Any]
    name: str


def build_recipe(arch: str | None, arguments: Mapping[str, Any] | None, config: Path | str | None) -> Recipe:
    """The recipe that the arguments of `extract_features` mean. Raises UsageError and ConfigError."""
    if config is None:
        arch = arch or DEFAULT_ARCH
        published = Config({}, "the published transform")
        steps = build_steps(calls_of(published, "scenario.eval_transform", PUBLISHED_TRANSFORM))
        return Recipe(arch, dict(arguments or {}), list(PUBLISHED_TRANSFORM), steps, arch.rpartition(":")[2])
    if arch is not None or arguments:
        raise UsageError("--config says which backbone: leave --arch and --arch-arg out")
    opened = load(config)
    for section in ("model", "scenario"):
        if not isinstance(opened.values.get(section, {}), dict):
            raise ConfigError(f"{config}: {section}: found {opened.values[section]!r}, expected a dict")
    for fault in check(opened, CATALOGUE):
        if fault.key.startswith(("model.backbone", "scenario.eval_transform")):
            raise ConfigError(str(fault))
    backbone = (opened.values.get("model") or {}).get("backbone")
    if not isinstance(backbone, dict):
        raise ConfigError(f"{config}: model.backbone: not there, and it is what features are extracted with")
    scenario = opened.values.setdefault("scenario", {})
    transform = scenario.setdefault("eval_transform", list(PUBLISHED_TRANSFORM))
    given = {key: value for key, value in backbone.items() if key not in ("type", "init_cfg")}
    steps = build_steps(calls_of(opened, "scenario.eval_transform", transform))
    return Recipe(f"mmcls:{backbone['type']}", given, transform, steps, Path(config).stem)
