"""Avalanche's W&B logger, with today's wandb."""

import os
import uuid
from functools import partial
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

    - It names `wandb.viz.CustomChart`, which has moved to `wandb.plot`, and `wandb.util.generate_id`, which is gone.
    - A metric's figure is logged as an image: as it is, wandb wants plotly for it.
    - Without a login it works offline instead of asking on the terminal; `offline_reason` then says why.
    - `run_id` is the W&B run's: `params["id"]`, else $WANDB_RUN_ID, else the one given, else a new one.
    - It can continue a run: `resumed` takes the given `run_id` before all others. W&B ignores what is logged for a
      step it has, so only later steps are logged. Offline the rest of the run lies in a second folder, with the same id
      and from the step on that the state was taken at.
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
    ) -> None:
        params = {"settings": _settings(), **(params or {})}
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
        self.config = self.params = self.init_kwargs = self.dir = None  # used up, and nothing for a state to hold

    def import_wandb(self) -> None:
        """Give the base class a wandb that has the name it looks for; wandb itself stays as it is."""
        import wandb

        self.wandb = ModuleType("wandb")
        vars(self.wandb).update(viz=wandb.plot, __getattr__=partial(getattr, wandb))

    def log_single_metric(self, name: str, value: object, x_plot: int) -> None:
        """Log a value at step `x_plot`, but never at one before the step of the last value."""
        first = self.wandb.run.starting_step  # of this process: W&B has those before
        if x_plot >= first - 1:  # the last of them may have been logged in part
            x_plot = max(x_plot, first, self.step)
            shown = value.alternatives[0] if isinstance(value, AlternativeValues) else value
            if is_figure(shown):  # which W&B would take for one of plotly's
                self.wandb.log({name: self.wandb.Image(shown)}, step=x_plot)
            else:
                super().log_single_metric(name, value, x_plot)
        self.step = x_plot

    def after_training_exp(self, strategy: Strategy, metric_values: list[MetricValue], **kwargs: object) -> None:
        """Count the trained buckets."""
        self.log_single_metric("TrainingExperience", self.exp_count, self.step)
        self.exp_count += 1

    def log_summary(self, numbers: dict[str, float], matrix: Matrix, bucket_names: list[str]) -> None:
        """The CLEAR and GEM numbers, and the accuracy matrix [N, N] as a table, at the end of a run."""
        import wandb

        rows = [[name, *row] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
        table = wandb.Table(columns=["trained to bucket", *bucket_names], data=rows)
        if wandb.run is not None:
            wandb.run.summary.update(numbers)
        wandb.log({"accuracy_matrix": table, **numbers})  # at W&B's own step, which no resumed run ignores

    def close(self) -> None:
        """End the W&B run."""
        import wandb

        wandb.finish()


def _settings() -> "wandb.Settings":
    """Nothing on the terminal; and what is logged is soon in the .wandb file, where no killed process loses it."""
    import wandb

    flush = "x_transaction_log_flush_interval"  # 15 s, where wandb has it
    return wandb.Settings(silent=True, console="off", **({flush: 1.0} if flush in wandb.Settings.model_fields else {}))
