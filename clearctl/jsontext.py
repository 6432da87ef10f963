"""JSON as every command writes it."""

import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """`value` as indented JSON, which has no NaN and no infinity: a number that is none is null."""
    return json.dumps(finite(value), indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """`value` with null for every number in it that JSON has no text for: NaN and the infinities."""
    if isinstance(value, dict):
        return {name: finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
