"""Where everything lies in a run folder, `<work_dir>/<YYYYmmdd-HHMMSS>-seed<N>/`, and how its files are read.

config.py             the resolved config, runnable by itself
environment.json      versions, device, git, dataset fingerprint
log.txt               what the TextLogger wrote
metrics.jsonl         one JSON object a line: each epoch, each tested bucket
eval.json             {"train", "test", "clear_metrics", "gem_metrics"}
accuracy_matrix.csv   R[i, j]: accuracy on bucket j after training on bucket i
checkpoints/exp_<k>.pth   model weights after k buckets
state/                what an exact resume needs, while the run is not finished
"""

import csv
import io
import json
import re
import time
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import atomic
from clearctl.errors import RunError
from clearctl.metrics import Matrix


def create(work_dir: Path, seed: int) -> Path:
    """Make a new run folder under `work_dir` and return its absolute path. Two runs never share one.

    Raises RunError where it cannot be written.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            suffix = "" if number == 1 else f"-{number}"
            run = work_dir / f"{stamp}-seed{seed}{suffix}"
            try:
                run.mkdir()
            except FileExistsError:
                if not run.is_dir():
                    raise
                continue
            return run.resolve()
    except OSError as error:
        raise RunError(
            f"the run folder cannot be made in {work_dir}: {error.strerror}\nchoose another with --work-dir"
        ) from None
    raise RunError(f"{work_dir} already has 999 runs of {stamp}")


def config_file(run: Path) -> Path:
    """The resolved config."""
    return run / "config.py"


def environment_file(run: Path) -> Path:
    """Versions, device, git and the dataset's fingerprint."""
    return run / "environment.json"


def log_file(run: Path) -> Path:
    """What the TextLogger writes."""
    return run / "log.txt"


def metrics_file(run: Path) -> Path:
    """One JSON object a line."""
    return run / "metrics.jsonl"


def eval_file(run: Path) -> Path:
    """All metrics of every evaluation, and the summary numbers."""
    return run / "eval.json"


def matrix_file(run: Path) -> Path:
    """The accuracy matrix."""
    return run / "accuracy_matrix.csv"


def checkpoint_file(run: Path, trained_buckets: int) -> Path:
    """Model weights after `trained_buckets` buckets."""
    return run / "checkpoints" / f"exp_{trained_buckets}.pth"


def checkpoints(run: Path) -> dict[int, Path]:
    """{number of buckets trained on: file}, ascending."""
    found = {}
    for path in run.glob("checkpoints/exp_*.pth"):
        match = re.fullmatch(r"exp_(\d+)\.pth", path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def csv_folder(run: Path) -> Path:
    """What the CSVLogger writes."""
    return run / "csv"


def tensorboard_folder(run: Path) -> Path:
    """What the TensorboardLogger writes."""
    return run / "tensorboard"


def state_folder(run: Path) -> Path:
    """What an exact resume needs."""
    return run / "state"


def lock_file(run: Path) -> Path:
    """Held by the process that works on the run."""
    return run / ".lock"


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run folder."""
    return config_file(folder).is_file() and environment_file(folder).is_file()


def write_matrix(run: Path, matrix: Matrix, bucket_names: list[str]) -> None:
    """Write R [rows so far, N] with 17 significant digits, so that reading it gives the same floats."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_to", *bucket_names])
    for name, row in zip(bucket_names, matrix, strict=False):
        writer.writerow([name, *(repr(float(value)) for value in row)])
    atomic.write_text(matrix_file(run), text.getvalue())


def read_matrix(run: Path) -> tuple[Matrix, list[str]]:
    """(R [rows so far, N], bucket names). Raises RunError if there is none."""
    try:
        rows = list(csv.reader(matrix_file(run).read_text().splitlines()))
        return np.array([[float(value) for value in row[1:]] for row in rows[1:]]), rows[0][1:]
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{matrix_file(run)} cannot be read: {error}") from None


def read_eval(run: Path) -> dict[str, Any]:
    """What eval.json holds. Raises RunError if it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(eval_file(run).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{eval_file(run)} cannot be read: {error}") from None
    return found


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl."""
    with metrics_file(run).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
