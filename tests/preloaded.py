"""What the fork server of `killing` does before it forks anything: all that each run would import and prepare again."""

import os
import pkgutil
from importlib import import_module
from pathlib import Path

import avalanche.evaluation.metrics  # noqa: F401
import avalanche.training.supervised  # noqa: F401
import extracting  # noqa: F401
import matplotlib.pyplot as plt
import mmcls.models  # noqa: F401
import process_groups  # noqa: F401
import rich.live  # noqa: F401
import sklearn.metrics  # noqa: F401
import torch.distributed.launcher.api  # noqa: F401
import torch.nested._internal.nested_tensor  # noqa: F401  a saved tensor needs it
import torchvision.transforms  # noqa: F401
import typer.rich_utils  # noqa: F401
import warm  # noqa: F401

import clearctl.engine.run.resume
import clearctl.models.heads
import clearctl.strategies.loggers
import clearctl.strategies.methods
import clearctl.strategies.recipes
import clearctl.sweep.worker_pool
from clearctl.report import page

os.environ["PYTHONPATH"] = os.environ["PYTHONPATH"].removeprefix(f"{Path(__file__).parent}{os.pathsep}")
for package in (clearctl.strategies.loggers, clearctl.strategies.methods):
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
for template in page._environment().list_templates():  # compiled once
    page._environment().get_template(template)
plt.switch_backend("agg")
