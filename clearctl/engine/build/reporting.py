"""The metrics and the loggers of a run."""

from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.config.settings import Settings
from clearctl.engine.build.calls import build
from clearctl.engine.build.catalogue import CATALOGUE


def build_metrics(settings: Settings) -> list[Any]:
    """Avalanche's metric plugins."""
    return [build(call, CATALOGUE.metrics) for call in settings.metrics]


def build_loggers(settings: Settings, run: Path, *, resumed: bool = False, wandb_id: str | None = None) -> list[Any]:
    """The loggers, writing into the `run` folder where the config names no other place.

    For a run that is `resumed` they keep what is there. `wandb_id` is the id of the W&B run: where the run is resumed
    the one that it has, else one for a config and an environment that name none.
    """
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
        elif call.type == "WandBLogger":
            filled["config"] = settings.config.values
            filled["dir"] = given.get("dir") or str(run)
            filled["resumed"] = resumed
            filled["run_id"] = wandb_id
        built.append(build(call.without(*filled), CATALOGUE.loggers, **filled))
    return built
