"""What is published of CLEAR: the order of CLEAR-10's index files, and the 38 resolved configs of the predecessor."""

import json
import re
from pathlib import Path
from typing import Any

CONFIGS = Path(__file__).parents[2] / "configs"

# The lines of CLEAR-10's class_names.txt, and the classes of each bucket in its labeled_metadata.json.
CLASS_NAMES = (
    "BACKGROUND", "baseball", "bus", "camera", "cosplay", "dress", "hockey", "laptop", "racing", "soccer", "sweater",
)  # fmt: skip
METADATA_ORDER = (
    "laptop", "camera", "bus", "sweater", "dress", "racing", "hockey", "cosplay", "baseball", "soccer", "BACKGROUND",
)  # fmt: skip
BUCKETS = tuple(str(number) for number in range(1, 11))

PREDECESSOR: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("predecessor.json").read_text())

_NAME = re.compile(r"clear(10|100)(?:-(\d)shot)?_(image_res18|moco-b0|intern-r50)(?:_(.*))?")
_OURS = {
    "br-finetune": "biased_reservoir",
    "cosine_br-finetune": "cosine_biased_reservoir",
    "er": "replay",
    "agem-reservoir": "agem_reservoir",
    None: "naive",
}


def ours(name: str) -> tuple[Path, list[str]]:
    """The shipped config for a config of the predecessor, and the overrides that it needs."""
    if name == "demo_feature.py":
        return CONFIGS / name, []
    found = _NAME.fullmatch(Path(name).stem)
    assert found is not None
    dataset, shot, features, rest = found.groups()
    iid = "_iid" if (rest or "").endswith("_iid") else ""
    rest = rest.removesuffix("_iid") if rest else None
    if shot:
        stem = "linear" if rest is None else _OURS.get(rest, rest)
        overrides = ["scenario.feature_type=intern_r50"] if features == "intern-r50" else []
        return CONFIGS / f"fewshot/clear{dataset}-{shot}shot/{stem}.py", overrides
    return CONFIGS / f"clear{dataset}/{features.replace('_', '-')}/{_OURS.get(rest, rest)}{iid}.py", []
