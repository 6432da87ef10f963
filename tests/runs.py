"""What runs that are killed and continue leave, compared with what one leaves that never stopped."""

import json
import re
from pathlib import Path
from typing import Any

import torch
from killing import Ended, run_process

EVERYWHERE = dict(minibatch=True, epoch=True, experience=True, stream=True)
METRICS = [
    dict(type="accuracy_metrics", **EVERYWHERE),
    dict(type="loss_metrics", **EVERYWHERE),
    dict(type="forgetting_metrics", experience=True, stream=True),
    dict(type="bwt_metrics", experience=True, stream=True),
    dict(type="class_accuracy_metrics", experience=True, stream=True),
    dict(type="confusion_matrix_metrics", stream=True, save_image=False),
]
WATCHED = (f"metrics={METRICS!r}", "loggers=[{'type': 'TextLogger'}, {'type': 'CSVLogger'}]")


def contents(run: Path) -> dict[str, Any]:
    """All that a run left, by file, in a form that is equal only where every number is; times and addresses aside."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = str(path.relative_to(run))
        if path.suffix == ".pth":
            weights = torch.load(path, weights_only=True)
            found[name] = {key: (value.dtype, value.shape, value.numpy().tobytes()) for key, value in weights.items()}
        elif name == "metrics.jsonl":
            records = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
        elif name == "log.txt":
            found[name] = re.sub("0x[0-9a-f]+", "0x", path.read_text()).splitlines()
        else:
            found[name] = None if name in ("config.py", "environment.json", "report.html") else path.read_bytes()
    return found


def require_same(run: Path, straight: Path) -> None:
    ours, theirs = contents(run), contents(straight)
    assert list(ours) == list(theirs)
    for name in theirs:
        assert ours[name] == theirs[name], name


State = tuple[int, int, int]  # bucket, epochs (-1: the start of the bucket), steps


def newest(run: Path) -> State | None:
    """The latest state on disk, reported by its name."""
    names = [
        re.fullmatch(r"bucket_(\d+)(?:_epoch_(\d+))?(?:_step_(\d+))?\.state", path.name) for path in run.glob("state/*")
    ]
    found = [name.groups() for name in names if name]
    return max(((int(b), -1 if e is None else int(e), int(s or 0)) for b, e, s in found), default=None)


def sentence(run: Path, state: State | None) -> str:
    """What a run says that continues from a state."""
    if state is None:
        return f"resuming {run} from its beginning: no state was saved"
    bucket, epochs, steps = state
    if epochs < 0:
        return f"resuming {run} at the start of bucket {bucket}"
    and_steps = f" and {steps} step{'s' * (steps != 1)}" if steps else ""
    return f"resuming {run} in bucket {bucket}, after {epochs} epoch{'s' * (epochs != 1)}{and_steps}"


def straight(config: Path, work_dir: Path, *, saving: str = "epochs", **arguments: Any) -> Ended:
    """A run that never stops."""
    given = {"device": "cpu", "work_dir": work_dir, **arguments}
    return run_process(config, arguments=given, saving=saving).require()
