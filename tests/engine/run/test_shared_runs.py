"""Runs that several processes share end as with one process; killed and resumed with as many, bit for bit."""

import json
import re
import shutil
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from killing import KILLED, Ended, run_process
from process_groups import run_in_processes
from runs import METRICS, newest, require_same
from sharing import begin, run_by_processes, what_is_learned

from clearctl import checksums, rundir
from clearctl.digest import file_sha256
from clearctl.layout import features_file, filelist_file
from clearctl.strategies.traits import PLUGINS as PLUGIN_TRAITS
from clearctl.strategies.traits import STRATEGIES, shareable

BASES = Path(__file__).parents[3] / "configs/_base_"
SIZES, DIM, CLASSES = (23, 31, 26), 8, 3  # no batch size divides the buckets, and no number of processes the batches
# Two layers, no batch norm.
MODEL = dict(head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[16]))
CALIBRATION = dict(type="calibration_metrics", stream=True)
LOGGERS = [dict(type="TextLogger"), dict(type="CSVLogger")]
SMALL: dict[str, dict[str, Any]] = {
    "naive": {},
    "cumulative": {},
    "replay": {"mem_size": 13},
    "biased_replay": {"buffer": {"max_size": 13}},
    "gdumb": {"mem_size": 13},
    "reservoir": {"buffer": {"max_size": 13}},
    "biased_reservoir": {"buffer": {"max_size": 13}},
    "agem": {"patterns_per_exp": 5, "sample_size": 7},
    "agem_reservoir": {"patterns_per_exp": 11, "sample_size": 7},
    "ewc": {"ewc_lambda": 5.0},
    "ewc_online": {"ewc_lambda": 5.0},
    "synaptic_intelligence": {"si_lambda": 5.0},
    "lwf": {},
    "mas": {},
    "der": {"mem_size": 13, "batch_size_mem": 5},
    "er_ace": {"mem_size": 13, "batch_size_mem": 5},
    "ncm": {},
    "ridge": {"ridge_lambda": 1.0, "accumulate": "float64"},
    "batch_slda": {"shrinkage_param": 0.1, "accumulate": "float64"},
    "ranpac": {"ridge_lambda": 1.0, "accumulate": "float64"},
    "klda": {"shrinkage_param": 0.01},
    "fecam": {},
}
ONE_PASS = ("ncm", "ridge", "batch_slda", "ranpac", "klda", "fecam")  # without epochs and an optimizer
HEADS = {
    "ranpac": dict(type="RandomProjectionHead", projection_dim=16),
    "klda": dict(type="RandomFourierHead", projection_dim=10, gamma=0.1),
    "fecam": dict(type="FeCAMHead", tukey=1.0),
}


# Plugins that no strategy above is made of.
PLUGINS: dict[str, dict[str, Any]] = {
    "ExponentialMovingAverage": dict(decay=0.9),
    "GradientClipping": dict(max_norm=0.5),
    "RestoreBestEpoch": dict(metric="train_accuracy"),
    "WarmUp": dict(steps=4),
}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the features `uneven`: buckets of `SIZES` samples, whose classes overlap and drift."""
    root = tmp_path_factory.mktemp("uneven")
    (root / "class_names.txt").write_text("a\nb\nc")
    (root / "training_folder").mkdir()
    (root / "training_folder/bucket_indices.json").write_text(json.dumps(["0", "1", "2"]))
    generator = torch.Generator().manual_seed(0)
    for bucket, size in enumerate(SIZES):
        labels = [line % CLASSES for line in range(size)]
        x = 0.6 * torch.randn(size, DIM, generator=generator)
        x[torch.arange(size), labels] += 1.5
        x[:, 3] += 0.3 * bucket
        features, listed = features_file(root, "uneven", str(bucket)), filelist_file(root, str(bucket))
        for file in (features, listed):
            file.parent.mkdir(parents=True)
        torch.save((x, labels), features)
        listed.write_text("\n".join(f"x/{bucket}/{line}.jpg {label}" for line, label in enumerate(labels)))
    return root


@pytest.fixture
def write(uneven: Path, tmp_path: Path) -> Callable[..., Path]:
    """`write(base, other={...}, **cl_strategy)`: a config on `uneven` that extends `_base_/<base>.py`."""

    def make(base: str, other: dict[str, Any] | None = None, model: dict[str, Any] = MODEL, **strategy: Any) -> Path:
        if base in HEADS:
            model = dict(head=dict(HEADS[base], num_classes=CLASSES, in_channels=DIM))
        values: dict[str, Any] = {
            "_base_": [str(BASES / f"{base}.py")],
            "scenario": dict(dataset_root=str(uneven), feature_type="uneven"),
            "model": model,
            "cl_strategy": {
                **dict(train_mb_size=10, eval_mb_size=16),
                **({} if base in ONE_PASS else dict(train_epochs=2, optimizer=dict(lr=0.1))),
                **SMALL[base],
                **strategy,
            },
            "seed": 0,
            **(other or {}),
        }
        file = tmp_path / f"{base}.py"
        file.write_text("\n".join(f"{name} = {value!r}" for name, value in values.items()))
        return file

    return make


def weights(run: Path | None) -> torch.Tensor:
    """All weights after the last of three buckets, in one vector."""
    assert run is not None
    files = rundir.checkpoints(run).values()
    assert checksums.read_sums(run / "checkpoints") == {file.name: file_sha256(file) for file in files}
    found = torch.load(run / "checkpoints/exp_3.pth", weights_only=True)
    return torch.cat([value.flatten().double() for value in found.values()])


def require_alike(ended: Ended, alone: Ended) -> None:
    """The same accuracies, and weights that differ by rounding alone."""
    assert ended.matrix == alone.matrix
    difference = weights(ended.run) - weights(alone.run)
    assert difference.norm() < 1e-5 * weights(alone.run).norm()


def test_all_that_may_be_shared_is_tried() -> None:
    from clearctl.config.load import load

    tried = {load(BASES / f"{base}.py").values["cl_strategy"]["type"] for base in SMALL}
    assert tried == set(shareable(STRATEGIES))
    of_strategies = {id(row) for row in STRATEGIES.values()}
    alone = {name for name in shareable(PLUGIN_TRAITS) if id(PLUGIN_TRAITS[name]) not in of_strategies}
    assert alone == set(PLUGINS)


@pytest.mark.parametrize("base", SMALL)
def test_two_and_three_processes_end_as_one(base: str, write: Callable[..., Path], tmp_path: Path) -> None:
    config = write(base)
    alone, *shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 2, 3)
    )
    for ended in shared:
        require_alike(ended, alone)
    reported = {tuple(metrics_of(ended.run)) for ended in (alone, *shared)}
    assert len(reported) == 1  # the same records, written once


def test_calibration_is_of_the_samples_of_all_processes(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("naive", {"metrics": [CALIBRATION]})
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count))).require()
        for count in (1, 2)
    )
    ours, expected = (json.loads((ended.run / "eval.json").read_text())["test"] for ended in (shared, alone))
    for number, values in expected.items():
        assert len(values) == 2 * (len(SIZES) + 1)
        assert ours[number] == pytest.approx(values, rel=1e-4)


def test_the_anytime_accuracy_is_that_of_one_process(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("replay", eval_every_steps=3, train_epochs=1)
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count))).require()
        for count in (1, 2)
    )
    ours, expected = (json.loads((ended.run / "eval.json").read_text())["anytime"] for ended in (shared, alone))
    assert ours == expected
    assert [point["samples_seen"] for point in ours] == [23, 23 + 30, 23 + 31 + 20]
    assert len([line for line in rundir.read_metrics(shared.run) if line["event"] == "anytime"]) == 3


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_ends_as_with_one_process(name: str, write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("naive", plugins=[dict(type=name, **PLUGINS[name])])
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 2)
    )
    require_alike(shared, alone)


@pytest.mark.parametrize("base", ["cumulative", "reservoir"])
def test_batches_over_task_labels_are_shared_too(base: str, write: Callable[..., Path], tmp_path: Path) -> None:
    config, overrides = write(base), ["scenario.task_labels=bucket"]
    alone, shared = (
        run_by_processes(
            count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count), overrides=overrides)
        )
        for count in (1, 2)
    )
    require_alike(shared, alone)
    single = run_by_processes(1, config, arguments=dict(device="cpu", work_dir=tmp_path / "single"))
    assert not torch.equal(weights(alone.run), weights(single.run))


@pytest.mark.parametrize(
    "base",
    ["replay", "biased_replay", "gdumb", "reservoir", "biased_reservoir", "agem", "agem_reservoir", "der", "er_ace"],
)
def test_all_processes_remember_the_same_samples(base: str, write: Callable[..., Path]) -> None:
    first, *others = run_in_processes(3, what_is_learned, write(base))
    (alone,) = run_in_processes(1, what_is_learned, write(base))
    assert any(name.startswith("memory") for name in first)
    for found in others:
        assert found == first
    assert {**first, "weights": None} == {**alone, "weights": None}


def metrics_of(run: Path | None) -> Iterable[str]:
    """What metrics.jsonl has, but the numbers that are rounded."""
    assert run is not None
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        yield json.dumps({name: record[name] for name in record if name not in ("seconds", "loss")}, sort_keys=True)


NORMALIZE = dict(type="Normalize", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])


@pytest.fixture
def write_images(prepared: Path, tmp_path: Path) -> Callable[..., Path]:
    """`write_images(base, norm={...}, flip=..., other={...}, **cl_strategy)`: a small residual net on images."""

    def make(
        base: str, norm: dict[str, Any], *, flip: bool = False, other: dict[str, Any] | None = None, **strategy: Any
    ) -> Path:
        steps = [dict(type="ToTensor"), NORMALIZE]
        backbone = dict(
            type="ResNet",
            depth=18,
            num_stages=1,
            strides=(1,),
            dilations=(1,),
            out_indices=(0,),
            stem_channels=4,
            base_channels=4,
            norm_cfg=norm,
        )
        values: dict[str, Any] = {
            "_base_": [str(BASES / f"{base}.py")],
            "scenario": dict(
                dataset_root=str(prepared),
                evaluation_protocol="iid",
                seed=0,
                train_transform=[*([dict(type="RandomHorizontalFlip")] if flip else []), *steps],
                eval_transform=steps,
            ),
            "model": dict(
                backbone=backbone,
                neck=dict(type="GlobalAveragePooling"),
                head=dict(type="LinearClsHead", num_classes=3, in_channels=4),
            ),
            "cl_strategy": {
                **dict(train_mb_size=10, eval_mb_size=7, train_epochs=2, optimizer=dict(lr=0.05)),
                **SMALL[base],
                **strategy,
            },
            "seed": 0,
            **(other or {}),
        }
        file = tmp_path / f"images_{base}.py"
        file.write_text("\n".join(f"{name} = {value!r}" for name, value in values.items()))
        return file

    return make


GROUPS = dict(type="GN", num_groups=2)


@pytest.mark.parametrize("base", ["replay", "der", "er_ace", "agem_reservoir", "ewc"])
def test_images_of_which_each_process_reads_its_part(
    base: str, write_images: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_images(base, GROUPS)
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 3)
    )
    require_alike(shared, alone)


def test_worker_processes_read_a_part_too(write_images: Callable[..., Path], tmp_path: Path) -> None:
    config = write_images("replay", GROUPS, other=dict(data=dict(workers=1)))
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 2)
    )
    require_alike(shared, alone)


def test_images_without_a_store_and_mixed_ones_are_read_whole(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_images("naive", GROUPS, flip=True, other=dict(data=dict(cache="off")))
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 2)
    )
    require_alike(shared, alone)  # they flip the same images
    assert shared.warnings == ["each process reads all images of a batch: with data.cache it reads only its part"]


def test_synchronised_batch_norms_see_the_whole_batch(write_images: Callable[..., Path], tmp_path: Path) -> None:
    batches = dict(type="BN")
    plain, synced = write_images("replay", batches).read_text(), "\nsync_bn = True\n"
    config = tmp_path / "synced.py"
    config.write_text(plain + synced)
    alone, shared, apart = (
        run_by_processes(count, file, arguments=dict(device="cpu", work_dir=tmp_path / f"{file.stem}{count}"))
        for count, file in ((1, config), (3, config), (3, tmp_path / "images_replay.py"))
    )
    require_alike(shared, alone)
    assert (weights(apart.run) - weights(alone.run)).norm() > 1e-3  # each process's own statistics


def test_batch_sizes_of_each_process(write: Callable[..., Path], tmp_path: Path) -> None:
    alone = run_process(write("replay", batch_size_mem=4), arguments=dict(device="cpu", work_dir=tmp_path / "1"))
    each = dict(train_mb_size=5, eval_mb_size=8, batch_size_mem=2)
    config = write("replay", {"data": dict(batch_per_rank=True)}, **each)
    require_alike(run_by_processes(2, config, arguments=dict(device="cpu", work_dir=tmp_path / "2")), alone)


def test_float16_leaves_out_no_other_steps(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("der", {"precision": "fp16"})
    alone, shared = (
        run_by_processes(count, config, arguments=dict(device="cpu", work_dir=tmp_path / str(count)))
        for count in (1, 3)
    )
    assert shared.matrix == alone.matrix
    assert (weights(shared.run) - weights(alone.run)).norm() < 0.01 * weights(alone.run).norm()


def test_what_was_never_tried_is_refused_by_name(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("naive", type="CWRStar", plugins=[dict(type="RARPlugin", batch_size_mem=4)])
    for child in begin(config, 2, arguments=dict(device="cpu", work_dir=tmp_path / "runs")):
        ended = child.end()
        assert (ended.exit_code, ended.error) == (3, "ConfigError")
        first, second = ended.text.splitlines()
        assert "cl_strategy.type: CWRStar is not tested with several processes" in first
        assert "cl_strategy.plugins.0.type: RARPlugin is not tested with several processes" in second
    assert not (tmp_path / "runs").exists()


KILLS: list[tuple[str, int, int, tuple[Any, ...]]] = [  # strategy, processes, who is killed, where
    ("replay", 2, 1, ("step", 1, 0, 2)),
    ("agem_reservoir", 3, 2, ("step", 1, 1, 1)),
    ("ewc", 2, 0, ("after training", 1)),
    ("lwf", 3, 0, ("step", 2, 0, 1)),
    ("der", 2, 1, ("test", 1, 2, 2)),
    ("er_ace", 3, 1, ("set-up", 2)),
    ("gdumb", 2, 0, ("half", "bucket_0001_epoch_0001.state")),
    ("synaptic_intelligence", 2, 0, ("bucket", 0)),
]


@pytest.mark.parametrize(("base", "processes", "killed", "at"), KILLS)
def test_a_killed_process_ends_the_run_which_continues_bit_for_bit(
    base: str, processes: int, killed: int, at: tuple[Any, ...], write: Callable[..., Path], tmp_path: Path
) -> None:
    config = write(base, {"metrics": [*METRICS, CALIBRATION], "loggers": LOGGERS})
    given = dict(device="cpu", work_dir=tmp_path / "straight")
    straight = run_by_processes(processes, config, arguments=given, saving="epochs")
    killed_run = end_by(killed, at, config, processes, tmp_path / "killed")
    resumed = run_by_processes(processes, killed_run, saving="epochs")
    assert straight.run is not None
    require_same(killed_run, straight.run)
    assert resumed.matrix == straight.matrix


def end_by(killed: int, at: tuple[Any, ...], config: Path, processes: int, work_dir: Path) -> Path:
    """The folder of a run of which one process was killed: the others have ended too, and say how to continue."""
    children = begin(
        config,
        processes,
        {killed: dict(at=at)},
        arguments=dict(device="cpu", work_dir=work_dir),
        saving="steps" if at[0] == "step" else "epochs",
    )
    ends = [child.end() for child in children]
    (run,) = work_dir.iterdir()
    assert ends[killed].exit_code == KILLED
    for ended in (end for rank, end in enumerate(ends) if rank != killed):
        assert (ended.exit_code, ended.error) == (5, "PeerLostError")
        assert ended.text == (
            f"another process of this run has ended\nresume with `clearctl resume {run} --nproc {processes}`"
        )
    return run


def test_a_signal_to_one_process_stops_all_at_the_same_step(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("replay")
    straight = run_by_processes(2, config, arguments=dict(device="cpu", work_dir=tmp_path / "straight"))
    special = {1: dict(at=("step", 1, 0, 1), signals=(signal.SIGTERM,))}
    work_dir = tmp_path / "stopped"
    ends = [child.end() for child in begin(config, 2, special, arguments=dict(device="cpu", work_dir=work_dir))]
    (run,) = work_dir.iterdir()
    assert [(ended.exit_code, ended.error) for ended in ends] == [(143, "Stopped")] * 2
    assert ends[0].text == f"stopped, its state is saved\nresume with `clearctl resume {run} --nproc 2`"
    assert newest(run) == (1, 0, 2)  # it is known a step later
    resumed = run_by_processes(2, run)
    assert straight.run is not None
    assert resumed.matrix == straight.matrix
    assert torch.equal(weights(run), weights(straight.run))


def test_batch_norms_and_random_transforms_continue_bit_for_bit(
    write_images: Callable[..., Path], tmp_path: Path
) -> None:
    config = write_images("lwf", dict(type="BN"), flip=True)
    straight = run_by_processes(2, config, arguments=dict(device="cpu", work_dir=tmp_path / "straight"), saving="steps")
    run = end_by(1, ("step", 2, 0, 2), config, 2, tmp_path / "killed")
    run_by_processes(2, run)
    assert torch.equal(weights(run), weights(straight.run))


def test_another_number_of_processes_continues_too(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("replay", {"metrics": METRICS, "loggers": LOGGERS})
    alone = run_process(config, arguments=dict(device="cpu", work_dir=tmp_path / "straight"))
    run = end_by(1, ("step", 1, 0, 2), config, 2, tmp_path / "killed")
    fewer = tmp_path / "fewer" / run.name
    shutil.copytree(run, fewer)
    for count, folder in ((3, run), (1, fewer)):
        resumed = run_by_processes(count, folder)
        require_alike(resumed, alone)
        said = f"the run had 2 processes and resumes with {count}: the results will differ"
        assert any(text.startswith(said) for text in resumed.warnings)
        environment = json.loads((folder / "environment.json").read_text())
        assert (environment["processes"], environment["resumed"][0]["processes"]) == (count, count)


def test_a_process_with_another_config_ends_all(write: Callable[..., Path], tmp_path: Path) -> None:
    given = dict(device="cpu", work_dir=tmp_path / "runs")
    other = {1: dict(arguments={**given, "overrides": ("cl_strategy.train_epochs=3",)})}
    first, second = (child.end() for child in begin(write("naive"), 2, other, arguments=given))
    assert (first.exit_code, first.error) == (5, "RunError")
    assert re.match(r"process 1, on .*, differs from the first in cl_strategy.train_epochs\n", first.text)
    assert (second.exit_code, second.error) == (5, "PeerLostError")
    assert not (tmp_path / "runs").exists()


def test_an_error_of_the_first_alone_ends_all(write: Callable[..., Path], tmp_path: Path) -> None:
    config = write("naive")
    work_dir = tmp_path / "file"
    work_dir.write_text("")
    first, second = (child.end() for child in begin(config, 2, arguments=dict(device="cpu", work_dir=work_dir)))
    assert (first.exit_code, first.error) == (5, "RunError")
    assert (second.exit_code, second.error) == (5, "PeerLostError")
