"""Whatever a config may name resumes: every metric, loss, plugin and buffer, stopped after the first bucket."""

import inspect
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl import resume, rundir, train
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import Stopped
from clearctl.progress import BucketDone, Event

FLAGS = dict(minibatch=True, epoch=True, experience=True, stream=True)
OF_THE_MACHINE = {"cpu_usage_metrics", "disk_usage_metrics", "gpu_usage_metrics", "ram_usage_metrics", "timing_metrics"}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AGEMPlugin": dict(patterns_per_experience=5, sample_size=6),
    "BiCPlugin": dict(mem_size=20, batch_size_mem=8, val_percentage=0.2, stage_2_epochs=2),
    "EWCPlugin": dict(ewc_lambda=1.0),
    "EarlyStoppingPlugin": dict(patience=1, val_stream_name="test_stream"),
    "GDumbPlugin": dict(mem_size=12),
    "GEMPlugin": dict(patterns_per_experience=5, memory_strength=0.5),
    "GradientClipping": dict(max_norm=0.5),
    "RARPlugin": dict(batch_size_mem=6),
    "RWalkPlugin": dict(delta_t=2),
    "ReplayPlugin": dict(mem_size=12),
    "SynapticIntelligencePlugin": dict(si_lambda=1.0),
    "WarmUp": dict(steps=3),
    "LabelSmoothLoss": dict(label_smooth_val=0.1, num_classes=3),
    "SeesawLoss": dict(num_classes=3),
    "topk_acc_metrics": dict(top_k=2),
}


def call(name: str) -> dict[str, Any]:
    return {"type": name, **ARGUMENTS.get(name, {})}


def metric(name: str) -> dict[str, Any]:
    accepted = inspect.signature(CATALOGUE.metrics[name]).parameters
    return {**call(name), **{flag: True for flag in FLAGS if flag in accepted}}


CASES: list[tuple[str, str, str]] = [
    *(("loss", name, f"cl_strategy.loss={call(name)!r}") for name in CATALOGUE.losses.classes),
    *(("plugin", name, f"cl_strategy.plugins={[call(name)]!r}") for name in CATALOGUE.plugins.classes),
    *(("buffer", name, f"cl_strategy.buffer={dict(type=name, max_size=12)!r}") for name in CATALOGUE.buffers.classes),
]


def test_what_is_listed_here_is_there() -> None:
    assert set(ARGUMENTS) <= {*(name for _, name, _ in CASES), *CATALOGUE.metrics.classes}
    assert {*OF_THE_MACHINE, "images_samples_metrics"} <= set(CATALOGUE.metrics.classes)


def both(config: Path, root: Path, folder: Path, *overrides: str) -> tuple[Path, Path]:
    """(the run that never stopped, the one that was stopped after its first bucket and resumed)."""

    def stop(event: Event) -> None:
        if isinstance(event, BucketDone) and event.bucket_number == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    arguments: dict[str, Any] = dict(device="cpu", dataset_root=root, overrides=list(overrides))
    straight = train(config, work_dir=folder / "straight", **arguments).run
    with pytest.raises(Stopped):
        train(config, work_dir=folder / "stopped", listener=stop, **arguments)
    (stopped,) = (folder / "stopped").iterdir()
    assert resume(stopped).run == stopped.resolve()
    return straight, stopped


def require_equal(straight: Path, stopped: Path) -> None:
    for file in rundir.checkpoints(straight).values():
        ours, theirs = (torch.load(run / "checkpoints" / file.name, weights_only=True) for run in (stopped, straight))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs), file.name
    matrices = [rundir.read_matrix(run)[0].tolist() for run in (straight, stopped)]
    assert matrices[0] == matrices[1]


@pytest.mark.parametrize(("kind", "name", "override"), CASES, ids=[name for _, name, _ in CASES])
def test_it_ends_as_if_it_had_never_stopped(
    kind: str, name: str, override: str, features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    overrides = [override, "cl_strategy.optimizer={'type': 'SGD', 'lr': 0.1, 'momentum': 0.9}"]
    if kind == "buffer":
        overrides.append("cl_strategy.type=Replay")
    if name == "EarlyStoppingPlugin":
        overrides += ["cl_strategy.eval_every=1", "metrics=[{'type': 'accuracy_metrics', 'stream': True}]"]
    require_equal(*both(features_config, prepared, tmp_path, *overrides))


def test_every_metric_has_the_values_of_a_run_that_never_stopped(
    features_config: Path, prepared: Path, tmp_path: Path
) -> None:
    names = [name for name in CATALOGUE.metrics.classes if name not in {*OF_THE_MACHINE, "images_samples_metrics"}]
    metrics = [metric(name) for name in names]
    left_out = ("scenario.drop_classes=['BACKGROUND']", "model.head.num_classes='dataset'")  # for auroc_metrics
    overrides = (f"metrics={metrics!r}", "cl_strategy.eval_every=0", *left_out)
    straight, stopped = both(features_config, prepared, tmp_path, *overrides)
    require_equal(straight, stopped)
    found, expected = (json.loads(rundir.eval_file(run).read_text()) for run in (stopped, straight))
    assert found == expected
    tested = "Top1_AMCA_Stream/test_stream/Task000"
    assert all(tested in found["test"][bucket] and tested not in found["train"][bucket] for bucket in "012")
