"""clearctl: prepare, train, evaluate and report on the CLEAR continual-learning benchmark.

Every command is also a function here, with plain arguments: `download`, `import_images`, `prepare_avalanche`,
`make_fewshot`, `rebuild_by_metadata`, `extract_features`, `verify`, `train`, `resume`, `evaluate`, `predict`,
`export_model`, `make_report`; `doctor` is `diagnose`, and `sweep` is `plan_sweep` and `run_sweep`, with `--select`
`plan_selection` and `run_selection`. They are
imported when first used, so that `import clearctl` stays fast. `progress_bar` returns a `listener` that any of them
accepts.
"""

import importlib
from typing import TYPE_CHECKING, Any

from clearctl.version import __version__

if TYPE_CHECKING:
    from clearctl.cli.notebook import progress_bar
    from clearctl.dataset.download import download
    from clearctl.dataset.fewshot import make_fewshot
    from clearctl.dataset.import_images import import_images
    from clearctl.dataset.prepare import prepare_avalanche
    from clearctl.dataset.rebuild import rebuild_by_metadata
    from clearctl.dataset.verify import verify
    from clearctl.doctor.diagnose import diagnose
    from clearctl.engine.extract.extract import extract_features
    from clearctl.engine.predict.export import export_model
    from clearctl.engine.predict.predict import predict
    from clearctl.engine.run.evaluate import evaluate
    from clearctl.engine.run.resume import resume
    from clearctl.engine.run.train import train
    from clearctl.report.report import make_report
    from clearctl.sweep.select.plan import plan_selection
    from clearctl.sweep.select.run import run_selection
    from clearctl.sweep.sweep import plan_sweep, run_sweep

__all__ = [
    "__version__",
    "diagnose",
    "download",
    "evaluate",
    "export_model",
    "extract_features",
    "import_images",
    "make_fewshot",
    "make_report",
    "plan_selection",
    "plan_sweep",
    "predict",
    "prepare_avalanche",
    "progress_bar",
    "rebuild_by_metadata",
    "resume",
    "run_selection",
    "run_sweep",
    "train",
    "verify",
]

_HOMES = {
    "diagnose": "clearctl.doctor.diagnose",
    "download": "clearctl.dataset.download",
    "evaluate": "clearctl.engine.run.evaluate",
    "export_model": "clearctl.engine.predict.export",
    "extract_features": "clearctl.engine.extract.extract",
    "import_images": "clearctl.dataset.import_images",
    "make_fewshot": "clearctl.dataset.fewshot",
    "make_report": "clearctl.report.report",
    "plan_selection": "clearctl.sweep.select.plan",
    "plan_sweep": "clearctl.sweep.sweep",
    "predict": "clearctl.engine.predict.predict",
    "prepare_avalanche": "clearctl.dataset.prepare",
    "progress_bar": "clearctl.cli.notebook",
    "rebuild_by_metadata": "clearctl.dataset.rebuild",
    "resume": "clearctl.engine.run.resume",
    "run_selection": "clearctl.sweep.select.run",
    "run_sweep": "clearctl.sweep.sweep",
    "train": "clearctl.engine.run.train",
    "verify": "clearctl.dataset.verify",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from clearctl.arguments import checking_arguments

        return checking_arguments(getattr(importlib.import_module(_HOMES[name]), name))
    raise AttributeError(f"module 'clearctl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
