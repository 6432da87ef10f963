"""torchvision's own weights of an architecture, from torch.hub's folder or the network."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch

from clearctl.digest import file_sha256
from clearctl.errors import CapabilityError, RunError, UsageError
from clearctl.models.extractor import MMCLS, FeatureExtractor
from clearctl.models.weights import load_checkpoint
from clearctl.progress import Listener, Message, ignore

_TIMEOUT_S = 20.0


def load_default_weights(extractor: FeatureExtractor, listener: Listener = ignore) -> str:
    """Fill the backbone with torchvision's default weights; returns their name, say `ResNet50_Weights.IMAGENET1K_V2`.

    The file is taken from torch.hub's folder if it is there and its hash is right, else fetched into it; `listener`
    is reported before that.

    Raises UsageError for a backbone without default weights, or built for images of another size than theirs;
    CapabilityError where they cannot be fetched; RunError if the file is damaged, or does not fit the arguments.
    """
    if extractor.arch.startswith(MMCLS):
        raise UsageError(
            f"{extractor.arch} has no default weights\n"
            "give a file with --checkpoint FILE, or take random ones with --weights none"
        )
    from torchvision.models import get_model_weights

    weights: Any = get_model_weights(extractor.arch).DEFAULT
    _check_image_size(extractor, weights)
    load_checkpoint(extractor, _file_of(weights, listener))
    return str(weights)


def _check_image_size(extractor: FeatureExtractor, weights: Any) -> None:
    """Raise UsageError if the backbone has position embeddings for another image size than `weights`."""
    found, expected = getattr(extractor.backbone, "image_size", None), weights.meta["min_size"][0]
    if found not in (None, expected):
        raise UsageError(
            f"{extractor.arch} is built for images of {found} px, but {weights} is for {expected} px\n"
            f"give --arch-arg image_size={expected}, or a file with --checkpoint FILE"
        )


def _file_of(weights: Any, listener: Listener) -> Path:
    """The file of torchvision's `weights` in torch.hub's folder, where it is put if it is not there."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    digest = re.search(r"-([0-9a-f]{8,})\.", file.name)
    expected = digest[1] if digest else ""
    if file.exists():
        if not file_sha256(file).startswith(expected):
            raise RunError(f"{file} is damaged: its sha256 does not begin with {expected}\ndelete it and try again")
        return file
    listener(Message(f"fetching {weights} ({weights.meta['_file_size']:.0f} MB) into {file.parent}"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with _timeout():
            torch.hub.download_url_to_file(weights.url, str(file), expected or None, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:
        raise CapabilityError(
            f"{weights} cannot be fetched: {error}\n"
            f"put {weights.url} into {file.parent}, or give it with --checkpoint FILE (--weights none: random)"
        ) from None
    return file


@contextmanager
def _timeout() -> Iterator[None]:
    """torch.hub waits for ever, as machines behind a firewall would otherwise."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
