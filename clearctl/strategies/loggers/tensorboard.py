"""Avalanche's TensorBoard logger, with one event file for a run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from avalanche.logging import TensorboardLogger as AvalancheTensorboardLogger

from clearctl.strategies.loggers.run_logger import RunLogger

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event


class TensorboardLogger(AvalancheTensorboardLogger, RunLogger):
    """Avalanche's TensorBoard logger, with one event file for a run however often it was killed.

    TensorBoard begins a new file for each process, and what several hold of one step shows several times. Here a run
    that `resumed` appends to the last event file of `tb_log_dir`, which then should be the run's own; a TensorBoard
    that follows the run meanwhile shows every step once, too. Folders of s3:// and gs:// are TensorBoard's to write.
    """

    def __init__(self, tb_log_dir: str = "./tb_data", filename_suffix: str = "", resumed: bool = False) -> None:
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

    def files(self) -> list[Path]:
        """All event files of the folder. A run that is resumed deletes those that its state does not list."""
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
