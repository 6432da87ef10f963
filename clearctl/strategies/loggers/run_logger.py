"""The interface of a run's loggers.

Loggers that write files only append to them, so that a run that was killed can be resumed: a resumed run cuts `files()`
back to where its state was taken (`truncate_files`) and logs the rest again. The attributes of a logger are plain
values that a state can hold, and none of them says where a file is: a run folder may be moved.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from clearctl.errors import RunError
from clearctl.metrics import Matrix


def truncate_files(sizes: Mapping[str, int], files: Iterable[Path]) -> None:
    """Cut append-only files back to `sizes`, {absolute path: bytes}, and delete those of `files` that it does not list.

    A logger may have the former open. Give only files inside the run folder: other runs may write to others.
    Raises RunError, and changes nothing, if one is missing or shorter than that.
    """
    for name, size in sizes.items():
        found = Path(name).stat().st_size if Path(name).is_file() else None
        if found is None or found < size:
            raise RunError(
                f"{name} {'is missing' if found is None else f'has {found} bytes'}, but had {size} bytes when the state"
                " was saved\nthis state cannot be resumed from"
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
    """The methods that a run requires of a logger in addition to Avalanche's callbacks; by default each does nothing.

    Loggers derive from it last, so that the methods of Avalanche's own come first. A user's own logger need not.
    """

    run_id: str | None = None  # of W&B's or MLflow's run
    run_key: str = "wandb_run"  # the name under which environment.json keeps it
    group: str | None = None  # what runs of one config that differ in their seeds alone have in common
    offline_reason: str | None = None  # why it does not log where it should

    def files(self) -> list[Path]:
        """The files that it appends to, as they are now."""
        return []

    def flush(self) -> None:
        """Write all that was logged."""

    def close(self) -> None:
        """End it."""

    def log_summary(self, numbers: dict[str, float], matrix: Matrix, bucket_names: list[str]) -> None:
        """Log a finished run's summary numbers and its accuracy matrix R [N, N]."""

    def view_command(self) -> str | None:
        """The command that shows or uploads what was logged, to be called before `close`; None if there is none."""
        return None
