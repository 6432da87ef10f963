"""The names of the libraries' architectures, and the arguments that their constructors accept."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from clearctl.errors import UsageError
from clearctl.nearby import closest
from clearctl.wording import any_of, in_one_line

MMCLS = "mmcls:"
TIMM = "timm:"
OPEN_CLIP = "open_clip:"

_CUT = "the classifier is removed"
_ELSEWHERE = "use --weights or --checkpoint for the weights"
_REFUSED = {
    "num_classes": _CUT,
    "representation_size": _CUT,
    "aux_logits": _CUT,
    "weights": _ELSEWHERE,
    "pretrained": _ELSEWHERE,
    "checkpoint_path": _ELSEWHERE,
    "init_cfg": _ELSEWHERE,
    "init_weights": _ELSEWHERE,
    "progress": _ELSEWHERE,
}


def require_arguments_of_networks(arch: str, arguments: Iterable[str]) -> None:
    """Raise UsageError for an argument that says what commands have options for."""
    for name in arguments:
        if name in _REFUSED:
            raise UsageError(f"{arch} does not accept the argument {name!r} here: {_REFUSED[name]}")


def require_known(arch: str, arguments: Mapping[str, Any], accepted: Iterable[str]) -> None:
    """Raise UsageError for an argument that is not among the `accepted`."""
    candidates = list(accepted)
    for name in arguments:
        if name not in candidates:
            raise UsageError(f"{arch} has no argument {name!r}{closest(name, candidates)}")


def cannot_build(arch: str, arguments: Mapping[str, Any], error: Exception) -> UsageError:
    """The UsageError for a constructor that raised `error`."""
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return UsageError(f"{arch} cannot be built with {given or 'no arguments'}: {in_one_line(error)}")


def near(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x', 'y' or 'z'?` for the nearest candidates, or an empty string."""
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    found = [repr(by_lower[match]) for match in difflib.get_close_matches(name.lower(), by_lower, n=3)]
    return f"; did you mean {any_of(found)}?" if found else ""
