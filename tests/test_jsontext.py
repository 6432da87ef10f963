"""JSON that any program can read."""

import json
import math

from clearctl.jsontext import json_text


def test_numbers_that_json_has_not_are_null() -> None:
    value = {"a": [1.5, math.nan, (math.inf, "größe")], "b": {"c": -math.inf, "d": None, "e": True}}
    text = json_text(value)
    assert json.loads(text) == {"a": [1.5, None, [None, "größe"]], "b": {"c": None, "d": None, "e": True}}
    assert text.endswith("}\n")
