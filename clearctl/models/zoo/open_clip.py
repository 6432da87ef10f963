"""open_clip's image towers, called `open_clip:NAME/PRETRAINED`, with the transform that the weights state.

Features are what `model.encode_image(x)` gives, not normalised: they are in the space that image and text share.
"""

from pathlib import Path
from typing import Any

from torch import nn

from clearctl.errors import CapabilityError, UsageError
from clearctl.models.extractor import FeatureExtractor, StateDict
from clearctl.models.zoo.fetch import fetching, timeout
from clearctl.models.zoo.names import OPEN_CLIP, cannot_build, near
from clearctl.models.zoo.quiet import quiet
from clearctl.models.zoo.transforms import Steps, normalized
from clearctl.progress import Listener, Message
from clearctl.wording import few

_INSTALL = 'install it: pip install "clearctl[open-clip]"'
_OWN_ARGUMENTS = ("force_image_size", "force_quick_gelu", "force_patch_dropout")


def build(arch: str, arguments: dict[str, Any]) -> FeatureExtractor:
    """The image tower of the model called `arch`, its weights random.

    QuickGELU is used where the weights of that tag were trained with it. Raises UsageError for names and arguments that
    open_clip does not take, CapabilityError if it, or a package that this model needs, is not installed.
    """
    library = _library()
    name, _, tag = arch.removeprefix(OPEN_CLIP).partition("/")
    known = library.list_models()
    if name not in known:
        raise UsageError(f"no model of open_clip is called {name!r}{near(name, known)}")
    tags = library.list_pretrained_tags_by_model(name)
    if tag and not library.pretrained.is_pretrained_cfg(name, tag):
        raise UsageError(
            f"open_clip's {name} has no weights called {tag!r}{near(tag, tags) or f': it has {few(tags) or None}'}"
        )
    for argument in arguments:
        if argument not in _OWN_ARGUMENTS:
            raise UsageError(
                f"{arch} does not accept the argument {argument!r}: expected one of {', '.join(_OWN_ARGUMENTS)}"
            )
    stated = library.get_pretrained_cfg(name, tag) if tag else {}
    given = {"force_quick_gelu": bool(stated.get("quick_gelu")), **arguments}
    try:
        with quiet("root"):
            model = library.create_model(
                name,
                pretrained_image=False,
                pretrained_text=False,
                force_preprocess_cfg=_preprocessing(stated),
                **given,
            )
    except ImportError as error:
        raise CapabilityError(f"{arch} needs a package that is not installed: {error}") from None
    except Exception as error:
        raise cannot_build(arch, arguments, error) from None
    return FeatureExtractor(arch, arguments, model.visual, is_exact=True, convert=_without_text)


def default_weights(extractor: FeatureExtractor, listener: Listener) -> tuple[Path, str]:
    """(file, name) of the weights that PRETRAINED names.

    Raises UsageError if none are named, CapabilityError if they cannot be downloaded.
    """
    library = _library()
    name, _, tag = extractor.arch.removeprefix(OPEN_CLIP).partition("/")
    if not tag:
        tags = library.list_pretrained_tags_by_model(name)
        raise UsageError(
            f"{extractor.arch} does not give the weights: add /PRETRAINED, one of {few(tags) or 'none'}\n"
            "or give a file with --checkpoint FILE, or use random ones with --weights none"
        )
    stated = library.get_pretrained_cfg(name, tag)
    listener(Message(f"looking for open_clip's {name}/{tag}"))
    where = f"huggingface.co/{stated['hf_hub']}" if stated.get("hf_hub") else stated.get("url")
    remedy = f"put {where} on this machine and give it with --checkpoint FILE"
    with fetching(f"open_clip's {name}/{tag}", remedy), timeout(), quiet("root"):
        return Path(library.download_pretrained(stated)), f"open_clip/{name}/{tag}"


def transform_steps(extractor: FeatureExtractor) -> Steps:
    """open_clip's transform of evaluation for the weights, at the size that the tower was built for."""
    stated: dict[str, Any] = extractor.backbone.preprocess_cfg  # type: ignore[assignment]
    size = stated["size"]
    sides = [size, size] if isinstance(size, int) else list(size)
    interpolation = {"interpolation": stated["interpolation"]}
    if stated["resize_mode"] == "squash":
        sizing: Steps = [{"type": "Resize", "size": sides, **interpolation}]
    elif stated["resize_mode"] == "longest":
        own = "open_clip.transform:"
        sizing = [
            {"type": f"{own}ResizeKeepRatio", "size": sides, "longest": 1, **interpolation},
            {"type": f"{own}CenterCropOrPad", "size": sides, "fill": stated["fill_color"]},
        ]
    else:
        sizing = [{"type": "Resize", "size": sides[0], **interpolation}, {"type": "CenterCrop", "size": sides}]
    return [*sizing, *normalized(stated["mean"], stated["std"])]


def _preprocessing(stated: dict[str, Any]) -> dict[str, Any]:
    """The part of open_clip's description of weights that its transform is made from."""
    return {key: stated[key] for key in ("mean", "std", "interpolation", "resize_mode") if stated.get(key) is not None}


def _without_text(weights: StateDict, tower: nn.Module) -> StateDict:
    """The image tower's of a whole model's `weights`; all if they are a tower's alone."""
    start = "visual."
    found = {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}
    return found or weights


def _library() -> Any:
    try:
        import open_clip
    except ImportError:
        raise CapabilityError(
            f"{OPEN_CLIP}NAME/PRETRAINED needs the package open_clip_torch, which is not installed\n{_INSTALL}"
        ) from None
    return open_clip
