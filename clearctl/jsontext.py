"""JSON output of all commands."""

import json
import math
from typing import Any


def json_text(value: Any) -> str:
    """`value` as indented JSON. JSON has no NaN and no infinity: such numbers are written as null."""
    return json.dumps(finite(value), indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """`value` with NaN and infinities replaced by None, which JSON writes as null."""
    if isinstance(value, dict):
        return {name: finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [finite(child) for child in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
