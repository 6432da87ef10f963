"""Avalanche's CSV logger, which only appends."""

import os
from pathlib import Path
from typing import TextIO

from avalanche.evaluation.metric_results import MetricValue
from avalanche.logging import BaseLogger
from avalanche.logging import CSVLogger as AvalancheCSVLogger

from clearctl.strategies.loggers.run_logger import RunLogger
from clearctl.strategies.strategy import Strategy, tests_validation

_TRAINING_COLUMNS = "training_exp,epoch,training_accuracy,val_accuracy,training_loss,val_loss"


_EVAL_COLUMNS = "eval_exp,training_exp,eval_accuracy,eval_loss,forgetting"


class CSVLogger(AvalancheCSVLogger, RunLogger):
    """Avalanche's CSV logger: training_results.csv and eval_results.csv in `log_folder`, new unless it is `resumed`.

    The validation columns of an epoch are of the test at its end (of the last bucket that was tested, as in
    Avalanche), and empty without one. Avalanche's are of the test before, and 0 before the first: an epoch is tested
    after its row is written. Here the test writes the row again. If the stream has validation parts (`validation`),
    the columns are of these, and the rows of their tests after a bucket are in validation_results.csv.
    """

    row: tuple[int, int, float, float] | None = (
        None  # of the latest epoch, until the next begins, and where it is in the file
    )
    row_at: int = 0

    validation_file: TextIO | None = None

    def __init__(self, log_folder: str | None = None, resumed: bool = False, validation: bool = False) -> None:
        BaseLogger.__init__(self)  # Avalanche's own would open its files with "w"
        folder = Path(log_folder or "csvlogs").absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.training_file = _table(folder / "training_results.csv", _TRAINING_COLUMNS, resumed)
        self.eval_file = _table(folder / "eval_results.csv", _EVAL_COLUMNS, resumed)
        if validation:
            self.validation_file = _table(folder / "validation_results.csv", _EVAL_COLUMNS, resumed)
        self.training_exp_id: int | None = None
        self.in_train_phase: bool | None = None
        self.val_acc: float | str = ""
        self.val_loss: float | str = ""

    def print_train_metrics(
        self,
        training_exp: int,
        epoch: int,
        train_acc: float,
        val_acc: float | str,
        train_loss: float,
        val_loss: float | str,
    ) -> None:
        """Write the row of an epoch, and keep it until its test has run."""
        self.training_file.flush()
        self.row_at = os.fstat(self.training_file.fileno()).st_size
        self.row = (training_exp, epoch, train_acc, train_loss)
        super().print_train_metrics(training_exp, epoch, train_acc, "", train_loss, "")

    def before_training(self, strategy: Strategy, metric_values: list[MetricValue], **kwargs: object) -> None:
        """Begin a bucket: a test before its first epoch does not belong to the last epoch of the bucket before."""
        super().before_training(strategy, metric_values, **kwargs)
        self.row = None

    def before_training_epoch(self, strategy: Strategy, metric_values: list[MetricValue], **kwargs: object) -> None:
        """Begin an epoch: no later test belongs to the previous row."""
        super().before_training_epoch(strategy, metric_values, **kwargs)
        self.row = None

    def after_eval_exp(self, strategy: Strategy, metric_values: list[MetricValue], **kwargs: object) -> None:
        """Write the row of the epoch that was tested again, with what the test gave."""
        held_out = tests_validation(strategy)
        if self.in_train_phase and self.validation_file is not None and not held_out:
            return
        tested = self.eval_file
        if held_out and self.validation_file is not None:
            self.eval_file = self.validation_file
        super().after_eval_exp(strategy, metric_values, **kwargs)
        self.eval_file = tested
        if self.in_train_phase and self.row is not None:
            training_exp, epoch, accuracy, loss = self.row
            self.training_file.flush()
            os.truncate(self.training_file.fileno(), self.row_at)
            super().print_train_metrics(training_exp, epoch, accuracy, self.val_acc, loss, self.val_loss)

    def files(self) -> list[Path]:
        """The tables."""
        return [Path(file.name) for file in self._tables()]

    def flush(self) -> None:
        """Write all that was logged."""
        for file in self._tables():
            file.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._tables():
            file.close()

    def _tables(self) -> list[TextIO]:
        return [file for file in (self.training_file, self.eval_file, self.validation_file) if file is not None]


def _table(path: Path, columns: str, resumed: bool) -> TextIO:
    """The file, open for appending, with the line of its columns."""
    if not resumed:
        path.unlink(missing_ok=True)
    file = path.open("a")
    if file.tell() == 0:
        print(columns, file=file, flush=True)
    return file
