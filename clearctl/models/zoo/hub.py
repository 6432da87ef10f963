"""Hugging Face's hub: the weights file of a repository, or of a local copy of one."""

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from clearctl.errors import RunError
from clearctl.models.zoo.fetch import TIMEOUT_S, fetching
from clearctl.models.zoo.quiet import quiet
from clearctl.progress import Listener, Message
from clearctl.regular import read_text

# The files that weights are in, the first that there is.
_FILES = ("model.safetensors", "pytorch_model.bin")


def download_from_hub(repository: str, listener: Listener) -> Path:
    """The file of weights of a `repository` on Hugging Face's hub, from its cache if it exists.

    Raises CapabilityError if it cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for name in _FILES:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return Path(cached)
    remedy = f"put {_FILES[0]} of huggingface.co/{repository} on this machine and give it with --checkpoint FILE"
    with fetching(f"the weights {repository}", remedy), quiet("huggingface_hub"):
        _require_host()
        listener(Message(f"downloading {repository} from Hugging Face's hub"))
        try:
            return Path(hf_hub_download(repository, _FILES[0], etag_timeout=TIMEOUT_S))
        except LocalEntryNotFoundError:  # there is no network
            raise
        except EntryNotFoundError:
            return Path(hf_hub_download(repository, _FILES[1], etag_timeout=TIMEOUT_S))


def _require_host() -> None:
    """Raise OSError if the hub's name is not known: its library would try again for half a minute."""
    from huggingface_hub import constants

    host = urlsplit(constants.ENDPOINT).hostname
    if host and not constants.HF_HUB_OFFLINE and "https" not in getproxies():
        socket.getaddrinfo(host, 443)


def weights_in(path: Path) -> Path:
    """`path`, or the file of weights in it if it is a folder. Raises RunError for a folder without one."""
    if not path.is_dir():
        return path
    found = [path / name for name in _FILES if (path / name).is_file()]
    if not found:
        raise RunError(f"{path} is a folder without {' or '.join(_FILES)}: give the file of weights")
    return found[0]


def config_beside(file: Path) -> dict[str, Any]:
    """The config.json beside a `file` of weights; {} if there is none that can be read."""
    try:
        content = json.loads(read_text(file.parent / "config.json"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
