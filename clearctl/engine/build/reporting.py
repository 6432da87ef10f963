"""The metrics and the loggers of a run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.config.settings import Settings
from clearctl.engine.build.calls import build
from clearctl.engine.build.catalogue import CATALOGUE


def build_metrics(settings: Settings) -> list[Any]:
    """Avalanche's metric plugins."""
    return [build(call, CATALOGUE.metrics) for call in settings.metrics]


def build_loggers(
    settings: Settings, run: Path, *, resumed: bool = False, environment: Mapping[str, Any] | None = None
) -> list[Any]:
    """The loggers, writing into the `run` folder where the config names no other place.

    For a run that is `resumed` they keep existing output. `environment` is environment.json of a run that was started
    before: which runs of W&B and MLflow are its own, and which file its config came from.
    """
    noted = environment or {}
    config = noted.get("config") or settings.config.file
    built = []
    for call in settings.loggers:
        given, filled = call.arguments, dict[str, Any]()
        if call.type == "TextLogger" and not given.get("file"):
            filled["file"] = str(rundir.log_file(run))
        elif call.type == "CSVLogger":
            filled["log_folder"] = given.get("log_folder") or str(rundir.csv_folder(run))
            filled["resumed"] = resumed
            filled["validation"] = settings.scenario.has_validation
        elif call.type == "TensorboardLogger":
            filled["tb_log_dir"] = given.get("tb_log_dir") or str(rundir.tensorboard_folder(run))
            filled["resumed"] = resumed and not given.get("tb_log_dir")  # the last file there may be another run's
            filled["group"] = _group(settings, config)
        elif call.type == "WandBLogger":
            filled["config"] = settings.config.values
            filled["dir"] = given.get("dir") or str(run)
            filled["resumed"] = resumed
            filled["run_id"] = noted.get("wandb_run")
            filled["group"] = _group(settings, config)
            filled["run_name"] = given.get("run_name") or f"{filled['group']}-seed{settings.seed}"
        elif call.type == "MLflowLogger":
            filled |= _of_mlflow(settings, given, run)
            filled["resumed"] = resumed
            filled["run_id"] = noted.get("mlflow_run")
            filled["group"] = _group(settings, config)
            filled["run_name"] = given.get("run_name") or f"{filled['group']}-seed{settings.seed}"
        built.append(build(call.without(*filled), CATALOGUE.loggers, **filled))
    return built


def _group(settings: Settings, config: str) -> str:
    from clearctl.report.groups import group_name  # here, since runs without such a logger need nothing of it

    return group_name(settings.config.values, config)


def _of_mlflow(settings: Settings, given: Mapping[str, Any], run: Path) -> dict[str, Any]:
    """The settings, the database and the place of artifacts.

    Those are in the `run` folder if the config and the environment name no store.
    """
    from clearctl.report.groups import settings_without_seeds

    logged = {"settings": {**settings_without_seeds(settings.config.values), "seed": settings.seed}}
    if given.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI"):
        return logged
    folder = rundir.mlflow_folder(run).absolute()
    folder.mkdir(exist_ok=True)
    return {
        **logged,
        "tracking_uri": f"sqlite:///{folder / 'mlflow.db'}",
        "artifact_location": given.get("artifact_location") or (folder / "artifacts").as_uri(),
    }
