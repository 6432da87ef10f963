"""Avalanche's TensorBoard logger, with one event file for a run."""

import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from avalanche.logging import TensorboardLogger as AvalancheTensorboardLogger

from clearctl import rundir
from clearctl.metrics import Matrix
from clearctl.strategies.loggers.run_logger import RunLogger
from clearctl.units import percent

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


class TensorboardLogger(AvalancheTensorboardLogger, RunLogger):
    """Avalanche's TensorBoard logger, with one event file for a run however often it was killed.

    TensorBoard begins a new file for each process, and shows a step several times if several files have it. Here a run
    that is `resumed` appends to the last event file of `tb_log_dir`, which then should be the run's own; a TensorBoard
    that follows the run meanwhile shows every step once, too. Folders of s3:// and gs:// are written by TensorBoard
    itself. A finished run has its accuracy matrix as an image and as a table, its summary numbers as scalars, and a row
    of the HParams table with its `group`.
    """

    def __init__(
        self,
        tb_log_dir: str = "./tb_data",
        filename_suffix: str = "",
        resumed: bool = False,
        group: str | None = None,
    ) -> None:
        is_local = not tb_log_dir.startswith(("s3://", "gs://"))
        before = _event_files(Path(tb_log_dir)) if resumed and is_local else []
        super().__init__(str(Path(tb_log_dir).absolute()) if is_local else tb_log_dir, filename_suffix)
        if is_local:
            events = self.writer.file_writer.event_writer
            events.close()
            new = Path(events._file_name)
            if before:
                new.unlink()
            self.writer.file_writer.event_writer = _EventFile(before[-1] if before else new)
        self.group = group

    def files(self) -> list[Path]:
        """All event files of the folder. A run that is resumed deletes those that its state does not list."""
        folder = str(self.writer.log_dir)
        return [] if folder.startswith(("s3://", "gs://")) else _event_files(Path(folder))

    def flush(self) -> None:
        """Write all that was logged to the event file."""
        self.writer.flush()

    def log_summary(self, numbers: dict[str, float], matrix: Matrix, bucket_names: list[str]) -> None:
        """The accuracy matrix [N, N] and the summary numbers, at the step after the last bucket."""
        from torch.utils.tensorboard.summary import hparams

        from clearctl.report.matrix_image import matrix_image

        known = {f"summary/{name}": value for name, value in numbers.items() if math.isfinite(value)}
        for part in hparams({"group": self.group or ""}, known):  # type: ignore[no-untyped-call]
            self.writer.file_writer.add_summary(part)
        step = len(matrix)
        for name, value in known.items():
            self.writer.add_scalar(name, value, step)
        image = matrix_image(matrix, bucket_names, self.group or "accuracy matrix")
        self.writer.add_image("accuracy_matrix", image, step, dataformats="HWC")
        self.writer.add_text("accuracy_matrix", _markdown(matrix, bucket_names), step)

    def view_command(self) -> str:
        """TensorBoard, on the folder of the event file; if that is a run's, on all runs beside it, with their names."""
        folder = Path(self.writer.log_dir)
        shown = folder.parents[1] if rundir.is_run(folder.parent) else self.writer.log_dir
        return f"tensorboard --logdir {shlex.quote(str(shown))}"

    def close(self) -> None:
        """Close the event file."""
        self.writer.close()


def _markdown(matrix: Matrix, bucket_names: list[str]) -> str:
    """R [N, N] in percent as a table."""
    rows = [["accuracy (%), trained to", *bucket_names], ["---:"] * (1 + len(bucket_names))]
    rows += [[name, *map(percent, row)] for name, row in zip(bucket_names, matrix.tolist(), strict=True)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _event_files(folder: Path) -> list[Path]:
    return sorted(folder.absolute().glob("*tfevents*"))


class _EventFile:
    """The part of tensorboard's EventFileWriter that SummaryWriter requires; appends to `path`, without a thread."""

    def __init__(self, path: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._records = RecordWriter(path.open("ab"))
        if path.stat().st_size == 0:
            self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add_event(self, event: "Event") -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()
