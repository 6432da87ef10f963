"""The metrics and the loggers of a run."""

from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.config.load import Config
from clearctl.engine.build.calls import call
from clearctl.engine.build.catalogue import CATALOGUE


def build_metrics(config: Config) -> list[Any]:
    """Avalanche's metric plugins."""
    entries = config.values.get("metrics") or []
    return [call(config, f"metrics.{index}", CATALOGUE.metrics, entry) for index, entry in enumerate(entries)]


def build_loggers(config: Config, run: Path, *, resumed: bool = False, wandb_id: str | None = None) -> list[Any]:
    """The loggers, writing into the `run` folder where the config names no other place.

    For a run that is `resumed` they keep what is there. `wandb_id` is the id of the W&B run: where the run is resumed
    the one that it has, else one for a config and an environment that name none.
    """
    built = []
    for index, entry in enumerate(config.values.get("loggers") or []):
        filled: dict[str, Any] = {}
        if entry["type"] == "TextLogger" and not entry.get("file"):
            filled["file"] = str(rundir.log_file(run))
        elif entry["type"] == "CSVLogger":
            filled["log_folder"] = entry.get("log_folder") or str(rundir.csv_folder(run))
            filled["resumed"] = resumed
        elif entry["type"] == "TensorboardLogger":
            filled["tb_log_dir"] = entry.get("tb_log_dir") or str(rundir.tensorboard_folder(run))
            filled["resumed"] = resumed and not entry.get("tb_log_dir")  # the last file there may be another run's
        elif entry["type"] == "WandBLogger":
            filled["config"] = config.values
            filled["dir"] = entry.get("dir") or str(run)
            filled["resumed"] = resumed
            filled["run_id"] = wandb_id
        given = {name: value for name, value in entry.items() if name not in filled}
        built.append(call(config, f"loggers.{index}", CATALOGUE.loggers, given, **filled))
    return built
