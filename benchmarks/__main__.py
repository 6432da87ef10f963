"""`make bench`: what clearctl's parts take, side by side with a reference in the same run, as a table and as JSON.

Sizes are CLEAR's; --quick makes them small. Quote ratios and medians: absolute times drift with the machine.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.extraction import extraction


def median_s(run: Callable[[], object], repeats: int) -> float:
    """The median of `repeats` timings, in seconds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def start_up(quick: bool) -> list[dict]:
    """`clearctl --help` against starting Python."""
    repeats = 3 if quick else 11
    python = median_s(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), repeats)
    command = [sys.executable, "-m", "clearctl", "--help"]
    ours = median_s(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), repeats)
    return [{"what": "clearctl --help", "seconds": ours, "against": "python -c pass", "against_seconds": python}]


def prepare(quick: bool) -> list[dict]:
    """prepare-avalanche with five seeds on a CLEAR-100-sized folder, first time and again."""
    from clearctl import prepare_avalanche

    buckets, classes, images = (3, 10, 30) if quick else (11, 100, 150)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        metadata: dict[str, dict[str, str]] = {}
        for bucket in map(str, range(buckets)):
            metadata[bucket] = {}
            for name in (f"class {number}" for number in range(classes)):
                (root / "labeled_images" / bucket / name).mkdir(parents=True)
                records = {}
                for number in range(images):
                    identifier = f"{bucket}{name.removeprefix('class ')}{number:04}"
                    image = f"labeled_images/{bucket}/{name}/{identifier}.jpg"
                    (root / image).touch()
                    records[identifier] = {"ID": identifier, "IMG_PATH": image}
                path = f"labeled_metadata/{bucket}/{name}.json"
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(json.dumps(records))
                metadata[bucket][name] = path
        (root / "labeled_metadata.json").write_text(json.dumps(metadata))
        (root / "class_names.txt").write_text("\n".join(f"class {number}" for number in range(classes)))
        first = median_s(lambda: prepare_avalanche(root), 1)
        again = median_s(lambda: prepare_avalanche(root), 1)
    size = f"{buckets * classes * images:,} images, 5 seeds"
    return [{"what": f"prepare-avalanche, {size}", "seconds": first, "against": "again", "against_seconds": again}]


def features(quick: bool) -> list[dict]:
    """An epoch of Naive with full metrics on CLEAR-10-sized features against a bare PyTorch loop doing the same."""
    import torch

    from clearctl import train
    from clearctl.rundir import metrics_file

    rows, dimension, epochs = (330, 256, 3) if quick else (3300, 2048, 5)
    x, y = torch.randn(rows, dimension), torch.arange(rows) % 11
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "class_names.txt").write_text("\n".join(map(str, range(11))))
        training = root / "training_folder"
        for bucket in ("0", "1"):
            (training / "filelists" / bucket).mkdir(parents=True)
            lines = "\n".join(f"{number}.jpg {label}" for number, label in enumerate(y.tolist()))
            (training / "filelists" / bucket / "all.txt").write_text(lines)
            (training / "features" / "random" / bucket).mkdir(parents=True)
            torch.save((x, y.tolist()), training / "features" / "random" / bucket / "all.pth")
        (training / "bucket_indices.json").write_text('["0", "1"]')
        config = root / "config.py"
        config.write_text(
            f"_base_ = [{str(Path('configs/_base_/metrics.py').resolve())!r}]\n"
            "scenario = dict(feature_type='random')\n"
            f"model = dict(head=dict(type='LinearClsHead', num_classes=11, in_channels={dimension}))\n"
            f"cl_strategy = dict(type='Naive', train_mb_size=256, eval_mb_size=256, train_epochs={epochs},\n"
            "                   optimizer=dict(type='SGD', lr=0.1, momentum=0.9))\n"
            "loggers = [dict(type='TextLogger')]\n"
        )
        run = train(config, dataset_root=root, work_dir=root / "runs").run
        records = [json.loads(line) for line in metrics_file(run).read_text().splitlines()]
    ours = statistics.median(record["seconds"] for record in records if record["event"] == "epoch")

    layer = torch.nn.Linear(dimension, 11)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)

    def bare_epoch() -> None:
        for batch in torch.randperm(rows).split(256):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(layer(x[batch]), y[batch]).backward()
            optimizer.step()

    bare = median_s(bare_epoch, 2 * epochs)
    size = f"{rows:,} × {dimension:,}"
    return [{"what": f"Naive, an epoch of {size}", "seconds": ours, "against": "bare loop", "against_seconds": bare}]


def main() -> None:
    """Run all parts and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--device", default="auto", help="auto or cpu, for what may run on a GPU")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    arguments = parser.parse_args()
    parts = [partial(part, arguments.quick) for part in (start_up, prepare, features)]
    parts.append(partial(extraction, arguments.quick, arguments.device))
    rows = [row for part in parts for row in part()]
    table = Table(title=f"clearctl on {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    for column in ("what", "seconds", "against", "seconds", "ratio"):
        table.add_column(column)
    for row in rows:
        row["ratio"] = row["seconds"] / row["against_seconds"]
        figures = (f"{row['seconds']:.4f}", row["against"], f"{row['against_seconds']:.4f}", f"{row['ratio']:.2f}")
        table.add_row(row["what"], *figures)
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
