"""Transfers run folders between machines without a shared file system."""

import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from clearctl import atomic, rundir
from clearctl.config.load import dump
from clearctl.sweep.plan import PlannedRun


def pack(run: Path) -> bytes:
    """The run folder as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(run.rglob("*")):
            if path != rundir.lock_file(run):
                archive.add(path, arcname=str(path.relative_to(run)), recursive=False)
    return buffer.getvalue()


def unpack(packed: bytes, run: Path) -> None:
    """Make the folder `run` out of what `pack` gave. Raises OSError."""
    run.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(run, filter="data")


def install_run(packed: bytes, name: str, planned: PlannedRun) -> Path:
    """Put a run that was made elsewhere where the plan has it, atomically, and return its folder.

    A run that was resumed there replaces the folder that it was resumed from.
    """
    planned.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".gathered-", dir=planned.work_dir) as folder:
        made = Path(folder) / name
        unpack(packed, made)
        # There it was in its own folder, which has been removed.
        atomic.write_text(rundir.config_file(made), dump(planned.config.values))
        target = planned.run or _free(planned.work_dir / name)
        if planned.run is not None:
            os.rename(planned.run, Path(folder) / "before")
        shutil.move(made, target)
    return target


def _free(target: Path) -> Path:
    number = 2
    found = target
    while found.exists():
        found = target.with_name(f"{target.name}-{number}")
        number += 1
    return found
