"""The data path of an image run: from the files to the batch a network takes, without the network."""

import tempfile
import time
from pathlib import Path

from benchmarks.alone import alone, in_turns, process
from benchmarks.folders import image_folder
from benchmarks.row import Row
from benchmarks.settings import Settings
from benchmarks.sides import ours, plain
from benchmarks.sides.stopwatch import only_draw_batches, take_times
from clearctl.cores import usable_cores

BATCH = 64
TEST_RATIO = 0.01  # tested on after the epochs, and not timed
CLEAR10 = Path(__file__).parents[1] / "configs" / "_base_" / "clear10.py"


def images(settings: Settings) -> list[Row]:
    """The configs' own transforms on 500×375 JPEGs, in batches of 64; the files are in the page cache.

    The first epoch has everything in it from the call of train on: choosing, building the store, reading it.
    """
    number, epochs, rounds = (192, 3, 3) if settings.quick else (3300, 3, 2)
    root = image_folder(settings.folder / "images", number)
    alone(_prepare, root)
    cores = usable_cores()
    device = settings.device
    sides = {
        "clearctl": process(_ours, root, epochs, device, 0),
        "no workers": process(_plain, root, epochs, device, 0),
        "workers": process(_plain, root, epochs, device, cores),
    }
    done = in_turns(rounds, sides)
    later = {side: [seconds for _, seconds in turns] for side, turns in done.items()}
    first = {side: [seconds for seconds, _ in turns] for side, turns in done.items()}
    size = f"{number - int(number * TEST_RATIO):,} images → 224"
    parallel = f"PIL through Avalanche, {cores} workers"
    return [
        Row(
            *("images", f"later epochs, {size}", later["clearctl"]),
            *("PIL through Avalanche, no workers", later["no workers"], "times faster"),
            goal=10.0,
            floor=3.0,
        ),
        Row("images", f"later epochs, {size}", later["clearctl"], parallel, later["workers"], "times faster"),
        Row("images", f"first epoch, {size}", first["clearctl"], parallel, first["workers"], goal=1.0, floor=2.0),
    ]


def _prepare(root: Path) -> None:
    from clearctl import prepare_avalanche

    prepare_avalanche(root, test_ratio=TEST_RATIO, seeds=[0])


def _ours(root: Path, epochs: int, device: str, workers: int) -> tuple[float, float]:
    """(seconds until the first epoch is over, median seconds of the later ones), its store new."""
    import clearctl.engine.run.train  # noqa: F401 the remaining imports are not part of an epoch

    folder = Path(tempfile.mkdtemp(dir=root.parent))
    lines = (
        f"_base_ = [{str(CLEAR10)!r}]",
        f"scenario = dict(dataset_root={str(root)!r}, evaluation_protocol='iid', seed=0, test_ratio={TEST_RATIO})",
        "model = dict(neck=dict(type='GlobalAveragePooling'), head=dict(type='LinearClsHead', num_classes=2,",
        "             in_channels=3))",
        f"cl_strategy = dict(type='Naive', train_mb_size={BATCH}, train_epochs={epochs},",
        "                   optimizer=dict(type='SGD', lr=0.01))",
        f"data = dict(workers={workers}, cache_dir={str(folder / 'cache')!r})",
        f"work_dir = {str(folder / 'runs')!r}",
    )
    (folder / "config.py").write_text("\n".join(lines) + "\n")
    times = take_times()
    only_draw_batches()
    started = time.perf_counter()
    ours.train("--device", device, folder / "config.py")
    return times.first_epoch_at - started, times.epoch()


def _plain(root: Path, epochs: int, device: str, workers: int) -> tuple[float, float]:
    """The same of plain Avalanche, from the list of files on."""
    import torch
    from avalanche.benchmarks.scenarios.deprecated import generic_benchmark_creation as creation
    from torchvision import transforms

    times = take_times()
    only_draw_batches()
    started = time.perf_counter()
    transform = transforms.Compose(
        [
            transforms.Resize(224),
            transforms.RandomCrop(224),
            transforms.RandomHorizontalFlip(0.5),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    listed = root / f"training_folder/testset_ratio_{TEST_RATIO}/split_0/1/train.txt"
    files = [(str(root / path), int(label)) for path, _, label in (line.rpartition(" ") for line in _lines(listed))]
    benchmark = creation.create_generic_benchmark_from_paths(
        [files], [files], task_labels=[0], train_transform=transform
    )
    model = torch.nn.Linear(1, 1)  # sees no batch
    learner = plain.build("Naive", model, epochs, device, batch=BATCH)
    learner.train(benchmark.train_stream[0], eval_streams=[], num_workers=workers)
    return times.first_epoch_at - started, times.epoch()


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines()
