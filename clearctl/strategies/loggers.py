"""Avalanche's loggers, as a config names them, mended where they break or would draw through clearctl's progress.

Those that write files only ever append to them, so that a run which was killed can go on: a run that goes on cuts
`files()` back to where its state was taken (`cut_back`) and logs the rest again. Its attributes are plain values that a
state can hold, and none of them says where a file is: a run folder may be moved.
"""

import os
import sys
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import wandb
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.logging import BaseLogger
from avalanche.logging import CSVLogger as AvalancheCSVLogger
from avalanche.logging import TensorboardLogger as AvalancheTensorboardLogger
from avalanche.logging import TextLogger as AvalancheTextLogger
from avalanche.logging import WandBLogger as AvalancheWandBLogger
from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

from clearctl.errors import RunError


def cut_back(sizes: Mapping[str, int], files: Iterable[Path]) -> None:
    """Cut append-only files back to `sizes`, {absolute path: bytes}, and delete those of `files` that it does not list.

    A logger may have the former open. Only files inside the run folder are to be given: to others other runs may write
    as well. Raises RunError, and changes nothing, where one is missing or shorter than that.
    """
    for name, size in sizes.items():
        found = Path(name).stat().st_size if Path(name).is_file() else None
        if found is None or found < size:
            raise RunError(
                f"{name} {'is missing' if found is None else f'has {found} bytes'}, but had {size} bytes when the state"
                " was saved\nthis state cannot be gone on from"
            )
    try:
        for name, size in sizes.items():
            os.truncate(name, size)
        for file in files:
            if str(file) not in sizes:
                file.unlink(missing_ok=True)
    except OSError as error:
        raise RunError(f"{error.filename} cannot be cut back: {error.strerror}") from None


class RunLogger:
    """What a run asks of a logger besides Avalanche's callbacks; by default each does nothing.

    Loggers derive from it last, so that what Avalanche's own have comes first. One of a user's own need not.
    """

    run_id: str | None = None  # of W&B's run
    offline_reason: str | None = None  # why it does not log where it should

    def files(self) -> list[Path]:
        """The files that it adds to, as they are there now."""
        return []

    def flush(self) -> None:
        """Bring all that was logged into the files."""

    def close(self) -> None:
        """End it."""

    def log_summary(self, numbers: dict[str, float], matrix: Any, bucket_names: list[str]) -> None:
        """Log a finished run's summary numbers and its accuracy matrix R [N, N]."""


class TextLogger(AvalancheTextLogger, RunLogger):
    """Metric values as text lines, appended to `file` (by default log.txt of the run folder)."""

    def __init__(self, file: str | None = None) -> None:
        assert file is not None, "the builder fills in the run folder's log.txt"
        path = Path(file).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file=path.open("a", buffering=1, encoding="utf-8"))

    def _val_to_str(self, m_val: Any) -> str:
        """A value as text; of one in several forms the numbers, where Avalanche's writes its address in memory."""
        if isinstance(m_val, AlternativeValues):
            m_val = m_val.best_supported_value(torch.Tensor, float, int)
            return "a figure" if m_val is None else self._val_to_str(m_val)
        if isinstance(m_val, float) and abs(m_val) >= 1e6:  # of a run that diverges, say: up to 39 digits
            return f"{m_val:.4g}"
        text: str = super()._val_to_str(m_val)
        return text

    def files(self) -> list[Path]:
        """The text file."""
        return [Path(self.file.name)]

    def flush(self) -> None:
        """Bring all that was logged into the file."""
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class _CurrentStderr:
    """Writes to whatever sys.stderr is at that moment, so that a live display can put the lines above itself."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class InteractiveLogger(AvalancheTextLogger, RunLogger):
    """Metric values as text lines on stderr. Avalanche's own draws a tqdm bar as well; the progress here is rich's."""

    def __init__(self) -> None:
        super().__init__(file=_CurrentStderr())


_TRAINING_COLUMNS = "training_exp,epoch,training_accuracy,val_accuracy,training_loss,val_loss"
_EVAL_COLUMNS = "eval_exp,training_exp,eval_accuracy,eval_loss,forgetting"


class CSVLogger(AvalancheCSVLogger, RunLogger):
    """Avalanche's CSV logger: training_results.csv and eval_results.csv in `log_folder`, new unless it `goes_on`.

    The validation columns of an epoch are of the test at its end (of the last bucket that was tested, as Avalanche has
    it), and empty without one. Avalanche's are of the test before, and 0 before the first: an epoch is tested after
    its row is written. Here the test writes the row again.
    """

    row: tuple[Any, ...] | None = None  # of the latest epoch, until the next begins, and where it is in the file
    row_at: int = 0

    def __init__(self, log_folder: str | None = None, goes_on: bool = False) -> None:
        BaseLogger.__init__(self)  # Avalanche's own would open its files with "w"
        folder = Path(log_folder or "csvlogs").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.training_file = _table(folder / "training_results.csv", _TRAINING_COLUMNS, goes_on)
        self.eval_file = _table(folder / "eval_results.csv", _EVAL_COLUMNS, goes_on)
        self.training_exp_id: int | None = None
        self.in_train_phase: bool | None = None
        self.val_acc: Any = ""
        self.val_loss: Any = ""

    def print_train_metrics(
        self, training_exp: int, epoch: int, train_acc: Any, val_acc: Any, train_loss: Any, val_loss: Any
    ) -> None:
        """Write the row of an epoch, and keep it until what tests it has run."""
        self.training_file.flush()
        self.row_at = os.fstat(self.training_file.fileno()).st_size
        self.row = (training_exp, epoch, train_acc, train_loss)
        super().print_train_metrics(training_exp, epoch, train_acc, "", train_loss, "")

    def before_training(self, strategy: Any, metric_values: list[Any], **kwargs: Any) -> None:
        """Begin a bucket: a test before its first epoch is not of the last epoch of the bucket before."""
        super().before_training(strategy, metric_values, **kwargs)
        self.row = None

    def before_training_epoch(self, strategy: Any, metric_values: list[Any], **kwargs: Any) -> None:
        """Begin an epoch: no test belongs to the row before any more."""
        super().before_training_epoch(strategy, metric_values, **kwargs)
        self.row = None

    def after_eval_exp(self, strategy: Any, metric_values: list[Any], **kwargs: Any) -> None:
        """Write the row of the epoch that was tested again, with what the test gave."""
        super().after_eval_exp(strategy, metric_values, **kwargs)
        if self.in_train_phase and self.row is not None:
            training_exp, epoch, accuracy, loss = self.row
            self.training_file.flush()
            os.truncate(self.training_file.fileno(), self.row_at)
            super().print_train_metrics(training_exp, epoch, accuracy, self.val_acc, loss, self.val_loss)

    def files(self) -> list[Path]:
        """The two tables."""
        return [Path(self.training_file.name), Path(self.eval_file.name)]

    def flush(self) -> None:
        """Bring all that was logged into the files."""
        self.training_file.flush()
        self.eval_file.flush()


def _table(path: Path, columns: str, goes_on: bool) -> Any:
    """The file, open for appending, with the line of its columns."""
    if not goes_on:
        path.unlink(missing_ok=True)
    file = path.open("a")
    if file.tell() == 0:
        print(columns, file=file, flush=True)
    return file


class TensorboardLogger(AvalancheTensorboardLogger, RunLogger):
    """Avalanche's TensorBoard logger, with one event file for a run however often it was killed.

    TensorBoard begins a new file for each process, and what several hold of one step shows several times. Here a run
    that `goes_on` appends to the last event file of `tb_log_dir`, which then should be the run's own; a TensorBoard
    that follows the run meanwhile shows every step once, too. Folders of s3:// and gs:// are TensorBoard's to write.
    """

    def __init__(self, tb_log_dir: str = "./tb_data", filename_suffix: str = "", goes_on: bool = False) -> None:
        is_local = not tb_log_dir.startswith(("s3://", "gs://"))
        before = _event_files(Path(tb_log_dir)) if goes_on and is_local else []
        super().__init__(str(Path(tb_log_dir).absolute()) if is_local else tb_log_dir, filename_suffix)
        if is_local:
            events = self.writer.file_writer.event_writer
            events.close()
            new = Path(events._file_name)
            if before:
                new.unlink()
            self.writer.file_writer.event_writer = _EventFile(before[-1] if before else new)

    def files(self) -> list[Path]:
        """All event files of the folder. A run that goes on deletes those that its state does not list."""
        folder = str(self.writer.log_dir)
        return [] if folder.startswith(("s3://", "gs://")) else _event_files(Path(folder))

    def flush(self) -> None:
        """Bring all that was logged into the event file."""
        self.writer.flush()

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.absolute().glob("*tfevents*"))


class _EventFile:
    """What SummaryWriter asks of tensorboard's EventFileWriter; it appends to `path`, without a queue and a thread."""

    def __init__(self, path: Path) -> None:
        self._records = RecordWriter(path.open("ab"))
        if path.stat().st_size == 0:
            self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()


class WandBLogger(AvalancheWandBLogger, RunLogger):
    """Avalanche's W&B logger, made to work with today's wandb.

    - It names `wandb.viz.CustomChart`, which has moved to `wandb.plot`, and `wandb.util.generate_id`, which is gone.
    - A metric's figure is logged as an image: as it is, wandb wants plotly for it.
    - Without a login it works offline instead of asking on the terminal; `offline_reason` then says why.
    - `run_id` is the W&B run's: `params["id"]`, else $WANDB_RUN_ID, else the one given, else a new one.
    - It can go on with a run: `goes_on` takes the given `run_id` before all others. W&B ignores what is logged for a
      step it has, so only later steps are logged. Offline the rest of the run lies in a second folder, with the same id
      and from the step on that the state was taken at.
    """

    wandb: Any
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
        goes_on: bool = False,
    ) -> None:
        params = {"settings": _settings(), **(params or {})}
        if goes_on:
            params["resume"] = "allow"
        if goes_on and run_id:
            params["id"] = run_id
        params.setdefault("id", os.environ.get("WANDB_RUN_ID") or run_id or uuid.uuid4().hex[:8])
        self.offline_reason: str | None = None
        if "mode" not in params and not os.environ.get("WANDB_MODE") and not _logged_in():
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
        """Give the base class a wandb that has the name it looks for."""
        if not hasattr(wandb, "viz"):
            setattr(wandb, "viz", wandb.plot)  # noqa: B010 a name that wandb's types do not know
        self.wandb = wandb

    def log_single_metric(self, name: str, value: Any, x_plot: int) -> None:
        """Log a value at step `x_plot`, but never at one before the step of the last value."""
        first = self.wandb.run.starting_step  # of this process: W&B has those before
        if x_plot >= first - 1:  # the last of them may have been logged in part
            x_plot = max(x_plot, first, self.step)
            shown = value.alternatives[0] if isinstance(value, AlternativeValues) else value
            if isinstance(shown, Figure):  # which W&B would take for one of plotly's
                self.wandb.log({name: self.wandb.Image(shown)}, step=x_plot)
            else:
                super().log_single_metric(name, value, x_plot)
        self.step = x_plot

    def after_training_exp(self, strategy: Any, metric_values: list[Any], **kwargs: Any) -> None:
        """Count the trained buckets."""
        self.log_single_metric("TrainingExperience", self.exp_count, self.step)
        self.exp_count += 1

    def log_summary(self, numbers: dict[str, float], matrix: Any, bucket_names: list[str]) -> None:
        """The CLEAR and GEM numbers, and the accuracy matrix [N, N] as a table, at the end of a run."""
        rows = [[name, *row] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
        table = wandb.Table(columns=["trained to bucket", *bucket_names], data=rows)
        if wandb.run is not None:
            wandb.run.summary.update(numbers)
        wandb.log({"accuracy_matrix": table, **numbers})  # at W&B's own step, which no resumed run ignores

    def close(self) -> None:
        """End the W&B run."""
        wandb.finish()


def _settings() -> Any:
    """Nothing on the terminal; and what is logged is soon in the .wandb file, where no killed process loses it."""
    flush = "x_transaction_log_flush_interval"  # 15 s, where wandb has it
    return wandb.Settings(silent=True, console="off", **({flush: 1.0} if flush in wandb.Settings.model_fields else {}))


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    return bool(wandb.Settings().api_key) or _in_netrc()


def _in_netrc() -> bool:
    import netrc

    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
