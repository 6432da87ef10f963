"""timm's models, called `timm:NAME`: without a classifier, with timm's own pooling, input size, transform and weights.

The name may end in the tag of its weights, as in `timm:resnet50.a1_in1k`; without one timm's default tag is meant.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from clearctl.errors import CapabilityError, RunError, UsageError
from clearctl.models.extractor import FeatureExtractor, StateDict
from clearctl.models.zoo.fetch import fetching, timeout
from clearctl.models.zoo.hub import config_beside, download_from_hub
from clearctl.models.zoo.names import TIMM, cannot_build, near
from clearctl.models.zoo.quiet import quiet
from clearctl.models.zoo.transforms import Steps, normalized
from clearctl.progress import Listener, Message
from clearctl.wording import few

_INSTALL = 'install it: pip install "clearctl[timm]"'
# The one that timm prefers of the several state dicts that its training saves: the averaged one.
_WRAPPERS = ("state_dict_ema", "model_ema")
# The keys for its input in the config of a model on the hub.
_STATED = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
_FEATURES_ONLY = ("features_only", "out_indices", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir", "in_chans")


def name_fault(name: str) -> str | None:
    """The reason why timm has no model called `name` (without `timm:`), or no weights of that tag; None if it has.

    Raises CapabilityError if timm is not installed.
    """
    timm = _library()
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        return f"no model of timm is called {architecture!r}{near(architecture, timm.list_models())}"
    tags = list(filter(None, _weights_of(architecture)))
    if tag and tag not in tags:
        there = f": it has {few(tags)}" if tags else ""
        return f"timm's {architecture} has no weights called {tag!r}{near(tag, tags) or there}"
    return None


def weights_by_name() -> dict[str, list[str]]:
    """{architecture: the tags of weights that timm has for it}; none if timm is not installed."""
    try:
        library = _library()
    except CapabilityError:
        return {}
    found: dict[str, list[str]] = {name: [] for name in library.list_models()}
    for name in library.list_pretrained():
        architecture, _, tag = name.partition(".")
        if tag:
            found[architecture].append(tag)
    return found


def build(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    """The model called `arch` as `timm.create_model(NAME, num_classes=0)` makes it, its weights random.

    Raises UsageError for a name or arguments that timm does not take, CapabilityError if it is not installed.
    """
    name = arch.removeprefix(TIMM)
    fault = name_fault(name)
    if fault:
        raise UsageError(fault)
    for argument in arguments:
        if argument in _FEATURES_ONLY:
            raise UsageError(
                f"{arch} does not accept the argument {argument!r} here: features are of RGB images, one vector each"
            )
    try:
        return extractor_of(arch, arguments, create(name, **arguments))
    except Exception as error:
        raise cannot_build(arch, arguments, error) from None


def extractor_of(arch: str, arguments: Mapping[str, Any], model: nn.Module) -> FeatureExtractor:
    """The extractor around `model`, which `create` has made of the name in `arch` and these arguments."""
    name = arch.removeprefix(TIMM)
    return FeatureExtractor(
        arch,
        arguments,
        model,
        _classifiers(model),
        is_exact=True,
        convert=partial(_converted, name, dict(arguments)),
        wrappers=_WRAPPERS,
    )


def create(name: str, **arguments: Any) -> nn.Module:
    """timm's model without a classifier, its weights random; raises what timm does."""
    with quiet("timm"):
        model: nn.Module = _library().create_model(name, num_classes=0, **arguments)
    return model


def create_classifier(name: str) -> nn.Module:
    """timm's model with its classifier, its weights random; raises what timm does."""
    with quiet("timm"):
        model: nn.Module = _library().create_model(name)
    return model


def require_installed() -> None:
    """Raise CapabilityError if timm is not installed."""
    _library()


def default_weights(extractor: FeatureExtractor, listener: Listener) -> tuple[Path, str]:
    """(file, name) of the weights that the model's tag names, from the cache of Hugging Face's hub or of torch.hub.

    Raises UsageError if timm has none, CapabilityError if they cannot be downloaded.
    """
    stated: dict[str, Any] = extractor.backbone.pretrained_cfg  # type: ignore[assignment]
    name = ".".join(filter(None, (stated["architecture"], stated.get("tag"))))
    for note in stated.get("notes") or ():
        listener(Message(f"timm's note on {name}: {note}", warning=True))
    if stated.get("hf_hub_id"):
        return download_from_hub(stated["hf_hub_id"], listener), f"timm/{name}"
    if not stated.get("url"):
        others = [f"{TIMM}{one}" for one in _same_with_weights(stated["architecture"])]
        raise UsageError(
            f"timm has no weights for {name}{f'; it has for {few(others)}' if others else ''}\n"
            "give a file with --checkpoint FILE, or use random ones with --weights none"
        )
    from timm.models._hub import download_cached_file

    listener(Message(f"downloading {name}"))
    with fetching(f"timm's {name}", f"download {stated['url']} and give it with --checkpoint FILE"), timeout():
        return Path(download_cached_file(stated["url"])), f"timm/{name}"


def apply_published_config(extractor: FeatureExtractor, file: Path) -> None:
    """Use what config.json next to a `file` of weights, as on the hub, says about the model's input.

    Raises RunError if it is of another architecture.
    """
    config = config_beside(file)
    architecture, stated = config.get("architecture"), config.get("pretrained_cfg", config)
    ours: dict[str, Any] = extractor.backbone.pretrained_cfg  # type: ignore[assignment]
    if not isinstance(architecture, str) or not isinstance(stated, dict):
        return
    if architecture != ours["architecture"]:
        raise RunError(f"{file} is of timm's {architecture}, not of {extractor.arch}\nuse --arch {TIMM}{architecture}")
    ours.update({key: stated[key] for key in _STATED if stated.get(key) is not None})


def transform_steps(extractor: FeatureExtractor) -> Steps:
    """timm's transform of evaluation for the model, at the image size that the model was built for."""
    return steps_of(extractor.backbone, extractor.arguments)


def steps_of(model: nn.Module, arguments: Mapping[str, Any] | None = None) -> Steps:
    """timm's transform of evaluation for `model`, which was created with `arguments`."""
    from timm.data import create_transform, resolve_data_config

    stated: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    size = (arguments or {}).get("img_size") or getattr(getattr(model, "patch_embed", None), "img_size", None)
    sides = (size, size) if isinstance(size, int) else tuple(size or stated["input_size"][-2:])
    config = resolve_data_config({"input_size": (3, *sides)}, pretrained_cfg=stated)
    *sizing, to_tensor, normalize = create_transform(**config).transforms
    assert (type(to_tensor).__name__, type(normalize).__name__) == ("MaybeToTensor", "Normalize"), "timm has changed"
    return [*map(_described, sizing), *normalized(config["mean"], config["std"])]


def _described(step: Any) -> dict[str, Any]:
    """A step of timm's transforms of evaluation as a config names it."""
    kind = type(step).__name__
    if kind == "Resize":
        return {"type": kind, "size": _size(step.size), "interpolation": step.interpolation.value}
    if kind == "CenterCrop":
        return {"type": kind, "size": _size(step.size)}
    own = f"{type(step).__module__}:{kind}"
    if kind == "ResizeKeepRatio":
        ratio = {"longest": step.longest, "interpolation": step.interpolation.value}
        return {"type": own, "size": list(step.size), **ratio}
    assert kind == "CenterCropOrPad", f"timm has a step {kind}"
    return {"type": own, "size": list(step.size), "fill": step.fill}


def _size(size: Any) -> int | list[int]:
    """A single number, which for a resize is the shorter side's, or both sides."""
    return size if isinstance(size, int) else list(size)


def _library() -> Any:
    try:
        import timm
    except ImportError:
        raise CapabilityError(f"{TIMM}NAME needs the package timm, which is not installed\n{_INSTALL}") from None
    return timm


def _weights_of(architecture: str) -> dict[str, Any]:
    """{tag: what timm states of these weights}; "" if there is no tag."""
    from timm.models import get_arch_pretrained_cfgs

    return {name.partition(".")[2]: stated for name, stated in get_arch_pretrained_cfgs(architecture).items()}


def _same_with_weights(architecture: str) -> list[str]:
    """The names with tags of weights that timm has for the architecture."""
    tagged = _weights_of(architecture).items()
    return [f"{architecture}.{tag}" for tag, stated in tagged if tag and stated.has_weights]


def _classifiers(model: Any) -> tuple[str, ...]:
    """The names that the layers which score classes have in files of weights."""
    stated = model.pretrained_cfg.get("classifier") or ()
    return (stated,) if isinstance(stated, str) else tuple(stated)


def _converted(name: str, arguments: dict[str, Any], weights: StateDict, model: nn.Module) -> StateDict:
    """`weights` with the names and shapes of `model`: of those that timm converts, as it does for this architecture."""
    convert = _conversion(name, arguments)
    return weights if convert is None else convert(dict(weights), model)


def _conversion(name: str, arguments: dict[str, Any]) -> Callable[[StateDict, nn.Module], StateDict] | None:
    """timm's function that makes of other codes' weights those of an architecture; None if it has none.

    It is passed to timm's loading of weights, and known nowhere else: so that is asked, and loads nothing.
    """
    from timm.models import _builder

    found: list[Any] = []

    def ask(model: nn.Module, *, filter_fn: Any = None, **unused: Any) -> None:
        found.append(filter_fn)

    load, _builder.load_pretrained = _builder.load_pretrained, ask
    try:
        with quiet("timm"):
            _library().create_model(name, pretrained=True, num_classes=0, **arguments)
    finally:
        _builder.load_pretrained = load
    return found[0] if found else None
