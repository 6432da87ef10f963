"""The layout of a run folder, `<work_dir>/<YYYYmmdd-HHMMSS>-seed<N>/`, and how its files are read.

config.py             the resolved config, which runs without other files
environment.json      versions, device, git, the dataset's fingerprint, the path of the original config
log.txt               output of the TextLogger
metrics.jsonl         one JSON object per line: each epoch, each tested bucket
eval.json             {"train", "test", "clear_metrics", "gem_metrics", "untrained", "diverged"}, with eval_every_steps
                      "anytime"
accuracy_matrix.csv   R[i, j]: accuracy on bucket j after training on bucket i
checkpoints/exp_<k>.pth   model weights after k buckets
checkpoints/SHA256SUMS    the sha256 of each of them (`checksums`)
state/                the state for an exact resume, until the run is finished
report.html           the run's report, once it is finished
selection.json        how its setting was chosen, if `sweep --select` chose it
"""

import ast
import csv
import io
import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from clearctl import atomic
from clearctl.errors import RunError
from clearctl.jsontext import finite
from clearctl.metrics import Matrix
from clearctl.regular import read_text
from clearctl.run_schemas import CONFIG, ENVIRONMENT, EPOCH, EVALUATION, SELECTION
from clearctl.schema import Schema, misfit


def create(work_dir: Path, seed: int) -> Path:
    """Make a new run folder under `work_dir` and return its absolute path. Two runs never share a folder.

    Raises RunError if it cannot be written.
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
            f"cannot create a run folder in {work_dir}: {error.strerror}\nchoose another folder with --work-dir"
        ) from None
    raise RunError(f"{work_dir} already has 999 runs of {stamp}\nchoose another folder with --work-dir")


def config_file(run: Path) -> Path:
    """The resolved config."""
    return run / "config.py"


def environment_file(run: Path) -> Path:
    """Versions, device, git and the dataset's fingerprint."""
    return run / "environment.json"


def log_file(run: Path) -> Path:
    """The output of the TextLogger."""
    return run / "log.txt"


def metrics_file(run: Path) -> Path:
    """One JSON object per line."""
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
    """The output of the CSVLogger."""
    return run / "csv"


def tensorboard_folder(run: Path) -> Path:
    """The output of the TensorboardLogger."""
    return run / "tensorboard"


def mlflow_folder(run: Path) -> Path:
    """The output of the MLflowLogger: a database, and files below artifacts/."""
    return run / "mlflow"


def state_folder(run: Path) -> Path:
    """The state for an exact resume."""
    return run / "state"


def report_file(run: Path) -> Path:
    """The run's report."""
    return run / "report.html"


def selection_file(folder: Path) -> Path:
    """The record of how settings were chosen: one run's, in its folder, or all of a sweep's, in its work directory."""
    return folder / "selection.json"


def lock_file(run: Path) -> Path:
    """The lock of the process that works on the run."""
    return run / ".lock"


def is_run(folder: Path) -> bool:
    """Whether `folder` is a run folder; False if it cannot be read."""
    return os.path.isfile(config_file(folder)) and os.path.isfile(environment_file(folder))  # Path.is_file may raise


def write_matrix(run: Path, matrix: Matrix, bucket_names: list[str]) -> None:
    """Write R [rows so far, N] with 17 significant digits, which restore the same floats."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_to", *bucket_names])
    for name, row in zip(bucket_names, matrix, strict=False):
        writer.writerow([name, *(repr(float(value)) for value in row)])
    atomic.write_text(matrix_file(run), text.getvalue())


def read_matrix(run: Path) -> tuple[Matrix, list[str]]:
    """(R [rows so far, N], bucket names). Raises RunError if it is missing or invalid."""
    try:
        heading, *rows = csv.reader(read_text(matrix_file(run)).splitlines())
        names = heading[1:]
        if not names:
            raise ValueError("its first line names no buckets")
        if any(len(row) != len(heading) for row in rows) or len(rows) > len(names):
            raise ValueError(f"expected {len(names)} accuracies in each row, and no more rows than that")
        values = [[float(value) for value in row[1:]] for row in rows]
        return np.array(values, dtype=float).reshape(len(rows), len(names)), names
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{matrix_file(run)} cannot be read: {error}") from None


def read_eval(run: Path) -> dict[str, Any]:
    """The content of eval.json. Raises RunError if it cannot be read."""
    return _read_object(eval_file(run), EVALUATION)


def read_selection(run: Path) -> dict[str, Any] | None:
    """The content of selection.json; None if it does not exist. Raises RunError if it cannot be read."""
    return _read_object(selection_file(run), SELECTION) if selection_file(run).is_file() else None


def has_state(run: Path) -> bool:
    """Whether there is a state to resume from."""
    return any(state_folder(run).glob("*.state"))


def is_finished(run: Path) -> bool:
    """Whether the run has trained on and tested every bucket, and has no state to resume from.

    Its last weights, which are written last, must exist, unless all its weights were removed later.
    """
    if not matrix_file(run).is_file() or has_state(run):
        return False
    matrix, names = read_matrix(run)
    last = checkpoint_file(run, len(names))
    return len(matrix) == len(names) and (last.is_file() or not last.parent.exists())


def read_config(run: Path) -> dict[str, Any]:
    """The values of config.py, parsed as literals, never run as code. Raises RunError."""
    file = config_file(run)
    try:
        body = ast.parse(read_text(file)).body
        values = dict(map(_assigned, body))
        if "_base_" in values:
            raise ValueError("it uses _base_, expected literals only")
    except (OSError, ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise _unlike(file, str(error)) from None
    _require_fit(file, values, CONFIG)
    return values


def _assigned(node: ast.stmt) -> tuple[str, Any]:
    """(name, value) of `name = literal`. Raises ValueError for any other statement."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        with suppress(ValueError, TypeError):
            return node.targets[0].id, _literal(node.value)
    raise ValueError(f"line {node.lineno} is not `name = literal`, and no code of a run folder is run")


def _literal(node: ast.expr) -> Any:
    """The value of a literal; infinities and NaN are calls of float."""
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_literal, node.values), strict=True))
    if isinstance(node, ast.List | ast.Tuple):
        found = [_literal(child) for child in node.elts]
        return found if isinstance(node, ast.List) else tuple(found)
    if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "float" and len(node.args) == 1:
        return float(ast.literal_eval(node.args[0]))
    return ast.literal_eval(node)


def read_environment(run: Path) -> dict[str, Any]:
    """The content of environment.json. Raises RunError if it cannot be read or lacks what every run writes."""
    value = _read_object(environment_file(run), ENVIRONMENT)
    if value["device"] == "cuda":  # the first GPU's name in runs of versions that did not write the index
        value["device"] = "cuda:0"
    return value


def _read_object(file: Path, schema: Schema) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(read_text(file))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read: {error}") from None
    _require_fit(file, found, schema)
    return found


def _require_fit(file: Path, value: Any, schema: Schema) -> None:
    """Raise RunError if `value`, read from `file`, is not what a run writes."""
    wrong = misfit(value, schema)
    if wrong:
        raise _unlike(file, wrong)


def _unlike(file: Path, what: str) -> RunError:
    return RunError(f"{file} is damaged: {what}\nrestore it, or start a new run")


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; the last one, if it is incomplete, is left out. Raises RunError."""
    file = metrics_file(run)
    if not file.is_file():
        return []
    try:
        lines = [json.loads(line) for line in read_text(file).split("\n")[:-1]]
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} cannot be read: {error}") from None
    _require_fit(file, lines, [{"event": str}])
    for line in lines:
        if line["event"] == "epoch":
            _require_fit(file, line, EPOCH)
    return lines


def append_metrics(run: Path, record: dict[str, Any]) -> None:
    """Add one line to metrics.jsonl; numbers that are not finite are written as null."""
    line = json.dumps(finite(record), allow_nan=False) + "\n"
    with metrics_file(run).open("ab") as file:  # once an epoch: without what text files do first
        file.write(line.encode())
