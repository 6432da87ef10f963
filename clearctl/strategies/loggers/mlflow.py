"""A run as a run of MLflow, in a database of its own or in one that several runs share."""

import logging
import os
import re
import shlex
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.logging import BaseLogger

from clearctl.errors import CapabilityError, RunError
from clearctl.metrics import Matrix
from clearctl.strategies.figures import is_figure
from clearctl.strategies.loggers.run_logger import RunLogger

if TYPE_CHECKING:
    from mlflow import MlflowClient

PACKAGES = ("mlflow", "sqlalchemy", "alembic")  # of the extra; the last two are for a database
RUNNING, FINISHED, KILLED = "RUNNING", "FINISHED", "KILLED"
_MOST_METRICS, _MOST_PARAMS = 1000, 100  # of a request
_MOST_LETTERS = 6000  # of a parameter's value
_NOT_IN_NAMES = re.compile(r"[^\w\-. /:]")


class MLflowLogger(BaseLogger, RunLogger):
    """Metrics, settings, summary numbers and the accuracy matrix as a run of MLflow, without its global state.

    Without `tracking_uri` and $MLFLOW_TRACKING_URI it is a SQLite database in the run folder. The parameters are the
    settings of the config, and the tag `group` is equal for runs that differ in their seeds alone. A run that is
    `resumed` continues the MLflow run `run_id`, also where the run folder was moved: how often each metric was logged
    is part of the run's state, and what MLflow has beyond that is not logged twice. Figures of metrics are artifacts.

    Raises CapabilityError where MLflow is missing, and RunError where it lacks the run that is resumed.
    """

    run_key = "mlflow_run"

    def __init__(
        self,
        experiment_name: str = "clearctl",
        run_name: str | None = None,
        tracking_uri: str | None = None,
        tags: dict[str, str] | None = None,
        artifact_location: str | None = None,
        settings: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        resumed: bool = False,
        group: str | None = None,
    ) -> None:
        super().__init__()
        self.group = group
        self.counts: dict[str, int] = {}  # how often each metric was logged
        self.latest: dict[str, str] = {}  # step and value of each
        client = _client(tracking_uri)
        if resumed and run_id:
            _follow_artifacts(tracking_uri, artifact_location)
            self.store = MLflowStore(client, _found(client, run_id), is_new=False)
            client.update_run(run_id, status=RUNNING)
        else:
            experiment = client.get_experiment_by_name(experiment_name)
            place = client.create_experiment(experiment_name, artifact_location) if experiment is None else None
            own = {**(tags or {}), **({} if group is None else {"group": group})}
            run = client.create_run(place or experiment.experiment_id, tags=own, run_name=run_name or group)
            self.store = MLflowStore(client, run.info.run_id, is_new=True)
            self.store.add_settings(settings or {})
        self.run_id: str = self.store.run_id

    def log_single_metric(self, name: str, value: object, x_plot: int) -> None:
        """Log a value at step `x_plot`; the same value at the same step is logged once."""
        if isinstance(value, AlternativeValues):
            value = value.alternatives[0]
        if is_figure(value):
            self.store.client.log_figure(self.run_id, value, f"figures/{_plain(name)}/{x_plot}.png")
            return
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, int | float):
            return
        latest = f"{x_plot} {value!r}"
        if self.latest.get(name) == latest:
            return
        self.latest[name] = latest
        self.counts[name] = self.counts.get(name, 0) + 1
        if self.counts[name] > self.store.known(_plain(name)):
            self.store.add(_plain(name), float(value), x_plot)

    def log_summary(self, numbers: dict[str, float], matrix: Matrix, bucket_names: list[str]) -> None:
        """The summary numbers as metrics, the accuracy matrix [N, N] as an image and as a CSV table."""
        from clearctl.report.matrix_image import matrix_image

        for name, value in numbers.items():
            self.log_single_metric(f"summary/{name}", value, len(matrix))
        rows = [["trained to", *bucket_names]]
        rows += [[name, *map(repr, row)] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
        table = "".join(f"{','.join(row)}\n" for row in rows)
        self.store.client.log_text(self.run_id, table, "accuracy_matrix.csv")
        image = matrix_image(matrix, bucket_names, self.group or "accuracy matrix")
        self.store.client.log_image(self.run_id, image, "accuracy_matrix.png")
        self.store.status = FINISHED

    def flush(self) -> None:
        """Send all values to MLflow."""
        self.store.flush()

    def close(self) -> None:
        """End the MLflow run: finished, or killed if it can be resumed."""
        self.store.flush()
        self.store.client.set_terminated(self.run_id, self.store.status)

    def view_command(self) -> str | None:
        """MLflow's pages, of a local store. They need the whole package mlflow."""
        uri = str(self.store.client.tracking_uri)
        return None if uri.startswith("http") else f"mlflow ui --backend-store-uri {shlex.quote(uri)}"


class MLflowStore:
    """An MLflow run, how many values it has of each metric, and the values to be sent. It is not part of a state."""

    def __init__(self, client: "MlflowClient", run_id: str, *, is_new: bool) -> None:
        self.client = client
        self.run_id = run_id
        self.status = KILLED
        self._is_new = is_new
        self._known: dict[str, int] = {}
        self._waiting: list[Any] = []

    def known(self, name: str) -> int:
        """The number of values of a metric that MLflow had when the run was resumed."""
        if self._is_new:
            return 0
        if name not in self._known:
            self._known[name] = len(self.client.get_metric_history(self.run_id, name))
        return self._known[name]

    def add(self, name: str, value: float, step: int) -> None:
        """Log a value, some time before the next flush ends."""
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, value, round(1000 * time.time()), step))
        if len(self._waiting) >= _MOST_METRICS:
            self.flush()

    def flush(self) -> None:
        """Send the waiting values. Raises RunError if MLflow does not accept them."""
        from mlflow.exceptions import MlflowException

        waiting, self._waiting = self._waiting, []
        try:
            for first in range(0, len(waiting), _MOST_METRICS):
                self.client.log_batch(self.run_id, metrics=waiting[first : first + _MOST_METRICS])
        except MlflowException as error:
            raise RunError(f"MLflow at {self.client.tracking_uri} does not accept values: {error}") from None

    def add_settings(self, settings: Mapping[str, Any]) -> None:
        """Log {dotted key: value} as parameters."""
        from mlflow.entities import Param

        params = [Param(_plain(key), str(value)[:_MOST_LETTERS]) for key, value in settings.items()]
        for first in range(0, len(params), _MOST_PARAMS):
            self.client.log_batch(self.run_id, params=params[first : first + _MOST_PARAMS])


def _client(tracking_uri: str | None) -> "MlflowClient":
    """MLflow's client of a store, without telemetry and without messages on the terminal."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would use the network, and end seconds later
    missing = next((name for name in PACKAGES if find_spec(name) is None), None)
    if missing is not None:
        text = f"MLflowLogger needs {missing}, which is not installed\ninstall it with `pip install 'clearctl[mlflow]'`"
        raise CapabilityError(text)
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=tracking_uri)


def _found(client: "MlflowClient", run_id: str) -> str:
    """`run_id`. Raises RunError where MLflow has no such run."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_run(run_id).info.run_id)
    except MlflowException as error:
        raise RunError(
            f"MLflow at {client.tracking_uri} cannot continue its run {run_id}: {error}\n"
            "restore it, or remove MLflowLogger from the run's config.py and resume with --accept-changes"
        ) from None


def _follow_artifacts(tracking_uri: str | None, artifact_location: str | None) -> None:
    """Let a run's own database name the artifacts beside it, which have moved with the run folder.

    MLflow keeps their absolute path, and has no call that changes it. Any other store is left as it is.
    """
    database = Path((tracking_uri or "").removeprefix("sqlite:///")).absolute()
    here = (database.parent / "artifacts").as_uri()
    if artifact_location != here or not database.is_file():
        return
    with closing(sqlite3.connect(database)) as connection, connection:
        found = connection.execute("SELECT artifact_location FROM experiments WHERE artifact_location != ?", (here,))
        for (before,) in found.fetchall():
            if before.endswith(f"/{database.parent.name}/artifacts"):
                connection.execute(
                    "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?",
                    (here, len(before) + 1, len(before), before),
                )
                connection.execute(
                    "UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (here, before)
                )


def _plain(name: str) -> str:
    """A name as MLflow takes it."""
    return _NOT_IN_NAMES.sub("_", name)
