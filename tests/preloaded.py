"""What the fork server of `killing` does before it forks anything: all that each run would import and prepare again."""

import gc
import json
import os
import pkgutil
import tempfile
from importlib import import_module
from pathlib import Path

import avalanche.evaluation.metrics  # noqa: F401
import avalanche.training.supervised  # noqa: F401
import extracting  # noqa: F401
import matplotlib.pyplot as plt
import mmcls.models  # noqa: F401
import PIL.Image
import process_groups  # noqa: F401
import rich.live  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch
import torch.distributed.launcher.api  # noqa: F401
import torch.nested._internal.nested_tensor  # noqa: F401  a saved tensor needs it
import torchmetrics.functional.classification  # noqa: F401
import torchvision.transforms  # noqa: F401
import typer
import typer.rich_utils
import warm  # noqa: F401
from runs import WATCHED

import clearctl.engine.run.resume
import clearctl.models.heads
import clearctl.strategies.loggers
import clearctl.strategies.methods
import clearctl.strategies.recipes
import clearctl.strategies.stepping
import clearctl.strategies.watching
import clearctl.sweep.worker_pool
from clearctl import layout, strategies
from clearctl.distributed.randomness import preserve_random_states
from clearctl.report import page

os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].removeprefix(f"{Path(__file__).parent}{os.pathsep}")
for package in (strategies.loggers, strategies.methods, strategies.stepping, strategies.watching):
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
for template in page._environment().list_templates():  # compiled once
    page._environment().get_template(template)
plt.switch_backend("agg")


def run_without_gradients(folder: Path) -> None:
    """A whole run of a strategy that has no backward pass, since torch's autograd does not survive a fork.

    What each run looks up, compiles and keeps for the next it then has from the start.
    """
    (folder / "class_names.txt").write_text("a\nb")
    (folder / "training_folder").mkdir()
    (folder / "training_folder/bucket_indices.json").write_text(json.dumps(["0", "1"]))
    for bucket in ("0", "1"):
        features, listed = layout.features_file(folder, "few", bucket), layout.filelist_file(folder, bucket)
        for file in (features, listed):
            file.parent.mkdir(parents=True)
        torch.save((torch.eye(4), [0, 1, 0, 1]), features)
        listed.write_text("\n".join(f"{line}.jpg {line % 2}" for line in range(4)))
    config = folder / "ncm.py"
    config.write_text(
        f"_base_ = [{str(Path(__file__).parents[1] / 'configs/_base_/ncm.py')!r}]\n"
        "scenario = dict(feature_type='few')\n"
        "model = dict(head=dict(type='LinearClsHead', num_classes=2, in_channels=4))\n"
        "cl_strategy = dict(train_mb_size=4, eval_mb_size=4)\n"
    )
    with preserve_random_states():
        clearctl.train(config, device="cpu", dataset_root=folder, work_dir=folder / "runs", overrides=WATCHED)


def parse_a_command() -> None:
    """One of a program of its own: typer imports the half of itself only then."""
    app = typer.Typer()

    @app.command()
    def nothing(number: int = 0) -> None: ...

    app([], standalone_mode=False)


PIL.Image.preinit()
parse_a_command()
with tempfile.TemporaryDirectory() as folder:
    run_without_gradients(Path(folder))
gc.set_threshold(10_000, *gc.get_threshold()[1:])
