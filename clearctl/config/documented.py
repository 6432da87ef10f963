"""Argument types from a class's docstring, for signatures without annotations (mmcls, mmcv)."""

import inspect
import re
from collections.abc import Callable
from typing import Any

# `name (types): ...` at the start of a line; the types may span lines and hold parentheses themselves.
_GOOGLE = re.compile(r"^[ \t]*\*{0,2}(\w+)[ \t]*\(((?:[^()]|\([^()]*\))*)\)[ \t]*:", re.MULTILINE)
_SPHINX = re.compile(r"^[ \t]*:type[ \t]+(\w+):[ \t]*(.+)$", re.MULTILINE)
# `name: ...` or `:param name: ...`, to the next one or an empty line: types named in prose only.
_PROSE = re.compile(r"^[ \t]*(?::param[ \t]+)?(\w+):[ \t]+(.+(?:\n(?![ \t]*:|[ \t]*\w+:)[ \t]*\S.*)*)", re.MULTILINE)
_TAKES_TEXT = re.compile(r"\bstr(?:ing)?s?\b")
# `a | b`, `a or b`, `a, b`, except for what is in brackets: list[int | tuple] is one.
_BETWEEN = re.compile(r"\||,|\bor\b")
_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_OF = re.compile(r"\s+of\s+.*")

# Corrections of docstrings that published configs and the class's code show to be wrong: {(class, argument): types}.
_CORRECTED = {
    ("ConformerHead", "in_channels"): "int | Sequence[int]",
    ("MViT", "img_size"): "int | tuple",
    ("RegNet", "arch"): "str | dict",
}

_SEQUENCE = (list, tuple)
_KINDS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "boolean": (bool,),
    "int": (int,),
    "integer": (int,),
    "float": (float,),
    "number": (float,),
    "str": (str,),
    "string": (str,),
    "dict": (dict,),
    "none": (type(None),),
    "optional": (type(None),),
    "list": _SEQUENCE,
    "tuple": _SEQUENCE,
    "sequence": _SEQUENCE,
}


def documented_types(factory: Callable[..., Any]) -> dict[str, str]:
    """{argument: its types in the docstring's words} of a class and its bases, the most derived first.

    A description without types that mentions text is returned as it is.
    """
    texts: dict[str, str] = {}
    for owner in factory.__mro__ if inspect.isclass(factory) else (factory,):
        docstrings = [owner.__doc__ or "", (owner.__init__.__doc__ or "") if inspect.isclass(owner) else ""]
        corrected = [(name, types) for (of, name), types in _CORRECTED.items() if of == getattr(owner, "__name__", "")]
        given = [match for pattern in (_GOOGLE, _SPHINX) for text in docstrings for match in pattern.findall(text)]
        prose = [match for text in docstrings for match in _PROSE.findall(text) if _TAKES_TEXT.search(match[1])]
        for name, types in [*corrected, *given, *prose]:
            texts.setdefault(name, " ".join(types.split()))
    return texts


def kinds(text: str) -> set[type]:
    """The types that `text`, such as `int | Sequence[int], optional`, names; empty if it names an unknown one."""
    while _BRACKETS.search(text):
        text = _BRACKETS.sub("", text)
    found: set[type] = set()
    for part in _BETWEEN.split(text):
        name = _OF.sub("", part.strip()).lower()
        if not name or name.startswith("default"):
            continue
        if name not in _KINDS:
            return set()
        found.update(_KINDS[name])
    return found
