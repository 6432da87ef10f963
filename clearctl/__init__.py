"""clearctl: prepare, train, evaluate and report on the CLEAR continual-learning benchmark.

Every command is also a function here, with plain arguments: `download`, `prepare_avalanche`, `make_fewshot`,
`rebuild_by_metadata`, `extract_features`, `verify`, `train`, `resume`, `evaluate`. They are imported when first used,
so that `import clearctl` stays quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearctl.dataset.download import download
    from clearctl.dataset.fewshot import make_fewshot
    from clearctl.dataset.prepare import prepare_avalanche
    from clearctl.dataset.rebuild import rebuild_by_metadata
    from clearctl.dataset.verify import verify
    from clearctl.engine.evaluate import evaluate
    from clearctl.engine.extraction import extract_features
    from clearctl.engine.loop import train
    from clearctl.engine.resume import resume

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "download",
    "evaluate",
    "extract_features",
    "make_fewshot",
    "prepare_avalanche",
    "rebuild_by_metadata",
    "resume",
    "train",
    "verify",
]

_HOMES = {
    "download": "clearctl.dataset.download",
    "evaluate": "clearctl.engine.evaluate",
    "extract_features": "clearctl.engine.extraction",
    "make_fewshot": "clearctl.dataset.fewshot",
    "prepare_avalanche": "clearctl.dataset.prepare",
    "rebuild_by_metadata": "clearctl.dataset.rebuild",
    "resume": "clearctl.engine.resume",
    "train": "clearctl.engine.loop",
    "verify": "clearctl.dataset.verify",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'clearctl' has no attribute {name!r}")
