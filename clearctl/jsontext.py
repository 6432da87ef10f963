"""JSON as every command writes it."""

import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """`value` as indented JSON, which has no NaN and no infinity: a number that is none is null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
