"""Avalanche's W&B logger, with today's wandb."""

import os
import shlex
import uuid
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from avalanche.evaluation.metric_results import AlternativeValues, MetricValue
from avalanche.logging import WandBLogger as AvalancheWandBLogger

from clearctl.metrics import Matrix
from clearctl.strategies.figures import is_figure
from clearctl.strategies.loggers.run_logger import RunLogger
from clearctl.strategies.loggers.wandb_login import logged_in
from clearctl.strategies.strategy import Strategy

if TYPE_CHECKING:
    import wandb


class WandBLogger(AvalancheWandBLogger, RunLogger):
    """Avalanche's W&B logger, made to work with today's wandb.

    - It names `wandb.viz.CustomChart`, which has moved to `wandb.plot`, and the removed `wandb.util.generate_id`.
    - A metric's figure is logged as an image: wandb would need plotly for the figure itself.
    - Without a login it works offline instead of asking on the terminal; `offline_reason` then says why.
    - `run_id` is the W&B run's: `params["id"]`, else $WANDB_RUN_ID, else the one given, else a new one.
    - It can continue a run: if it is `resumed`, the given `run_id` comes first. W&B ignores what is logged for a step
      that it has, so only later steps are logged. Offline the rest of the run is in a second folder, with the same id,
      and begins with the step at which the state was taken.
    - `params["group"]` is, if the config gives none, `group`: that of the runs which differ in their seeds alone.
    """

    wandb: ModuleType
    step: int

    def __init__(
        self,
        project_name: str = "Avalanche",
        run_name: str = "Test",
        log_artifacts: bool = False,
        save_code: bool = False,
        dir: str | None = None,
        config: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        run_id: str | None = None,
        resumed: bool = False,
        group: str | None = None,
    ) -> None:
        params = {"settings": _settings(), "group": group, **(params or {})}
        if resumed:
            params["resume"] = "allow"
        if resumed and run_id:
            params["id"] = run_id
        params.setdefault("id", os.environ.get("WANDB_RUN_ID") or run_id or uuid.uuid4().hex[:8])
        self.offline_reason: str | None = None
        if "mode" not in params and not os.environ.get("WANDB_MODE") and not logged_in():
            params["mode"] = "offline"
            self.offline_reason = "W&B has no login here, so this run is kept offline; `wandb sync` uploads it later"
        super().__init__(
            project_name=project_name,
            run_name=run_name,
            log_artifacts=log_artifacts,
            save_code=save_code,
            dir=dir,
            config=config,
            params=params,
        )
        self.run_id: str = self.wandb.run.id
        self.group = self.wandb.run.group or None
        self.config = self.params = self.init_kwargs = self.dir = None  # no longer needed, and not for a state

    def import_wandb(self) -> None:
        """Give the base class a wandb that has the name that it looks for; wandb itself is not changed."""
        import wandb

        self.wandb = ModuleType("wandb")
        vars(self.wandb).update(viz=wandb.plot, __getattr__=partial(getattr, wandb))

    def log_single_metric(self, name: str, value: object, x_plot: int) -> None:
        """Log a value at step `x_plot`, but never at one before the step of the last value."""
        first = self.wandb.run.starting_step  # of this process: W&B has those before
        if x_plot >= first - 1:  # the last of them may have been logged in part
            x_plot = max(x_plot, first, self.step)
            shown = value.alternatives[0] if isinstance(value, AlternativeValues) else value
            if is_figure(shown):  # which W&B would convert to plotly's
                self.wandb.log({name: self.wandb.Image(shown)}, step=x_plot)
            else:
                super().log_single_metric(name, value, x_plot)
        self.step = x_plot

    def after_training_exp(self, strategy: Strategy, metric_values: list[MetricValue], **kwargs: object) -> None:
        """Count the trained buckets."""
        self.log_single_metric("TrainingExperience", self.exp_count, self.step)
        self.exp_count += 1

    def log_summary(self, numbers: dict[str, float], matrix: Matrix, bucket_names: list[str]) -> None:
        """The summary numbers, and the accuracy matrix [N, N] as a table and as an image, at the end of a run."""
        import wandb

        from clearctl.report.matrix_image import matrix_image

        rows = [[name, *row] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
        table = wandb.Table(columns=["trained to bucket", *bucket_names], data=rows)
        if wandb.run is not None:
            wandb.run.summary.update(numbers)
        image = wandb.Image(matrix_image(matrix, bucket_names, self.group or "accuracy matrix"))
        # At W&B's own step, which no resumed run ignores.
        wandb.log({"accuracy_matrix": table, "accuracy_matrix_image": image, **numbers})

    def view_command(self) -> str | None:
        """The upload of an offline run, of which each process that resumed it has made a folder."""
        import wandb

        if wandb.run is None or wandb.run.settings.mode != "offline":
            return None
        folder = Path(wandb.run.settings.sync_dir)
        folders = sorted(map(str, folder.parent.glob(f"offline-run-*-{self.run_id}"))) or [str(folder)]
        return f"wandb sync {shlex.join(folders)}"

    def close(self) -> None:
        """End the W&B run."""
        import wandb

        wandb.finish()


def _settings() -> "wandb.Settings":
    """Print nothing on the terminal; write what is logged to the .wandb file soon, so that a kill does not lose it."""
    import wandb

    flush = "x_transaction_log_flush_interval"  # 15 s, if wandb has it
    return wandb.Settings(silent=True, console="off", **({flush: 1.0} if flush in wandb.Settings.model_fields else {}))
