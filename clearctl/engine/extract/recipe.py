"""The recipe of features: an architecture from the command line or a config, and a transform."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl import layout
from clearctl.config.check import check
from clearctl.config.fill import calls_of
from clearctl.config.load import Config, load, of_run
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.build.transforms import build_steps
from clearctl.errors import ConfigError, DatasetError, UsageError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.zoo.build import transform_steps
from clearctl.models.zoo.mmcls import as_timm
from clearctl.models.zoo.names import MMCLS, OPEN_CLIP, TIMM
from clearctl.models.zoo.transforms import Steps
from clearctl.nearby import closest

DEFAULT_ARCH = "resnet50"
PUBLISHED, OF_MODEL = "published", "model"
# The transform of the published features (prepare_features.py in the CLEAR paper's code).
PUBLISHED_TRANSFORM: tuple[dict[str, Any], ...] = (
    {"type": "Resize", "size": 224},
    {"type": "CenterCrop", "size": 224},
    {"type": "ToTensor"},
    {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
)
_KEY = "scenario.eval_transform"


@dataclass(frozen=True)
class Recipe:
    """The network, weights and transform to extract with. `transform` is as a config lists it; None is the model's own.

    `name` is the default name of the features.
    """

    arch: str
    arguments: dict[str, Any]
    transform: Steps | None
    name: str


def build_recipe(
    arch: str | None,
    arguments: Mapping[str, Any] | None,
    config: Path | str | None,
    transform: Path | str | None = None,
) -> Recipe:
    """The recipe that the arguments of `extract_features` mean. Raises UsageError and ConfigError."""
    chosen = None if transform in (None, PUBLISHED, OF_MODEL) else _of_file(Path(str(transform)))
    if config is None:
        given = arch or DEFAULT_ARCH
        arch, arguments = as_timm(given, dict(arguments or {}))
        name = arch.removeprefix(TIMM).removeprefix(OPEN_CLIP).removeprefix(MMCLS).replace("/", "_")
    else:
        if arch is not None or arguments:
            raise UsageError("--config already gives the backbone: leave --arch and --arch-arg out")
        opened = load(config)
        name = Path(config).stem
        arch, arguments = _backbone(opened)
        if transform is None:
            chosen = _listed(opened)
    if chosen is None and (transform == PUBLISHED or (transform is None and not arch.startswith((TIMM, OPEN_CLIP)))):
        chosen = list(PUBLISHED_TRANSFORM)
    return Recipe(arch, arguments, chosen, name)


def model_transform(network: FeatureExtractor) -> Steps:
    """The transform that the library states for the weights. Raises UsageError if it states none."""
    steps = transform_steps(network)
    if steps is None:
        raise UsageError(
            f"--transform {OF_MODEL}: no transform is published for {network.arch}\n"
            f"use --transform {PUBLISHED}, or the transform of a config with --transform FILE"
        )
    return steps


def built(steps: Steps) -> list[Any]:
    """The transforms of a list as a config has it. Raises ConfigError."""
    return build_steps(calls_of(Config({}, "the transform of extract-features"), _KEY, steps))


def build_recorded(steps: Steps, file: Path) -> list[Any]:
    """The transforms that a run folder or an extraction.json, `file`, notes. No code of its folder is run.

    Raises ConfigError.
    """
    opened = of_run({"scenario": {"eval_transform": steps}}, file)
    _require_sound(opened, _KEY)
    return build_steps(calls_of(opened, _KEY, steps))


def _backbone(opened: Config) -> tuple[str, dict[str, Any]]:
    """(architecture, arguments) of a config's backbone. Raises ConfigError."""
    _require_sound(opened, "model.backbone", _KEY)
    backbone = (opened.values.get("model") or {}).get("backbone")
    if not isinstance(backbone, dict):
        raise ConfigError(f"{opened.file}: model.backbone: missing, but features are extracted with it")
    given = {key: value for key, value in backbone.items() if key not in ("type", "init_cfg", "pretrained")}
    of_timm = str(backbone["type"]).startswith(TIMM)
    return as_timm(backbone["type"] if of_timm else f"{MMCLS}{backbone['type']}", given)


def _require_sound(opened: Config, *keys: str) -> None:
    """Raise ConfigError for a fault at one of the `keys`, or below it."""
    for section in ("model", "scenario"):
        if not isinstance(opened.values.get(section, {}), dict):
            raise ConfigError(f"{opened.file}: {section}: found {opened.values[section]!r}, expected a dict")
    for fault in check(opened, CATALOGUE):
        if fault.key.startswith(keys):
            raise ConfigError(str(fault))


def _listed(opened: Config) -> Steps | None:
    steps: Steps | None = (opened.values.get("scenario") or {}).get("eval_transform")
    return steps


def _of_file(file: Path) -> Steps:
    """The `scenario.eval_transform` of a config, or the transform of an extraction.json or of a list in JSON."""
    if file.suffix not in (".py", ".json"):
        hint = closest(str(file), [PUBLISHED, OF_MODEL])
        expected = f"{PUBLISHED}, {OF_MODEL}, a config (.py) or an extraction.json"
        raise UsageError(f"--transform {file}: expected {expected}{hint}")
    opened = load(file) if file.suffix == ".py" else Config({"scenario": {"eval_transform": _in_json(file)}}, str(file))
    _require_sound(opened, _KEY)
    steps = _listed(opened)
    if not isinstance(steps, list) or not steps:
        raise ConfigError(f"{file}: {_KEY}: missing, but --transform takes it from a config")
    return steps


def _in_json(file: Path) -> Any:
    try:
        content = layout.read_json(file)
    except DatasetError as error:
        raise UsageError(f"--transform {file}: {error}") from None
    settings = content.get("settings") if isinstance(content, dict) else None
    return settings.get("transform") if isinstance(settings, dict) else content
