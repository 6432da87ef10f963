"""The feature stream `blobs` that the strategies' tests train on, and the experiments built on it.

A plugin of pytest, since fixtures in a conftest.py here would hide the one above. PYTEST_DONT_REWRITE
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl.config.fill import fill
from clearctl.config.findings import Fault
from clearctl.config.load import Config
from clearctl.config.settings import StrategySettings
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import Experiment, build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.layout import features_file, filelist_file
from clearctl.progress import ignore

BASES = Path(__file__).parents[2] / "configs/_base_"
BUCKETS, CLASSES, PER_CLASS, DIM = 3, 3, 8, 8
PER_BUCKET = CLASSES * PER_CLASS
ONE_PASS = (
    "prototype",
    "streaming_lda",
    "ncm",
    "ridge",
    "batch_slda",
    "ranpac",
    "klda",
    "fecam",
)  # base configs without train_epochs
MODEL = dict(head=dict(type="LinearClsHead", num_classes=CLASSES, in_channels=DIM))


def flat(model: torch.nn.Module) -> torch.Tensor:
    """Weights and buffers in one vector, as a copy."""
    return torch.cat([value.detach().flatten().float() for value in model.state_dict().values()])


def bucket_of(x: torch.Tensor) -> torch.Tensor:
    """The bucket that each sample `x [N, D]` came from."""
    return (x[:, -1] * 1e3).round().long() // 100


def samples(dataset: Any) -> torch.Tensor:
    """All of a dataset's `x [N, D]`, in its order."""
    return torch.stack([dataset[index][0] for index in range(len(dataset))]) if len(dataset) else torch.zeros(0, DIM)


def strategy_settings(section: dict[str, Any]) -> StrategySettings:
    """Those of a config's cl_strategy."""
    values = {"scenario": {"dataset_root": "."}, "model": {}, "cl_strategy": section, "work_dir": ".", "seed": 0}
    return fill(Config(values, "x.py")).strategy


def by_key(faults: Iterable[Fault]) -> dict[str, str]:
    """{key below cl_strategy: what is wrong}."""
    return {fault.key.removeprefix("cl_strategy."): fault.message for fault in faults}


@dataclass
class Built:
    """An experiment, its config and what its buckets hold."""

    experiment: Experiment
    config: Path

    @property
    def strategy(self) -> Any:
        return self.experiment.strategy

    @property
    def buckets(self) -> list[Any]:
        return list(self.experiment.benchmark.train_stream)

    def plugin(self, name: str) -> Any:
        return next(plugin for plugin in self.strategy.plugins if type(plugin).__name__ == name)

    def head(self) -> torch.Tensor:
        """The head's weights and biases, as a copy."""
        return flat(self.strategy.model)

    def data(self, bucket: int) -> tuple[torch.Tensor, torch.Tensor]:
        dataset = self.buckets[bucket].dataset
        return samples(dataset), torch.tensor([int(target) for target in dataset.targets])


@pytest.fixture(scope="session")
def features_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with features `blobs` only: 3 buckets of 3 well-separated classes that drift a little.

    The last number of a sample is its own: bucket * 100 + line, so that buffers can be told apart; the head's
    weights for it start and stay near 0, as its scale in x is 1e-3.
    """
    root = tmp_path_factory.mktemp("features")
    (root / "class_names.txt").write_text("a\nb\nc")
    (root / "training_folder").mkdir()
    (root / "training_folder/bucket_indices.json").write_text(json.dumps([str(b) for b in range(BUCKETS)]))
    generator = torch.Generator().manual_seed(0)
    for bucket in range(BUCKETS):
        labels = [c for c in range(CLASSES) for _ in range(PER_CLASS)]
        x = 0.2 * torch.randn(PER_BUCKET, DIM, generator=generator)
        x[torch.arange(PER_BUCKET), labels] += 1.5
        x[:, 3] += 0.3 * bucket
        x[:, -1] = (bucket * 100 + torch.arange(PER_BUCKET)) * 1e-3
        features = features_file(root, "blobs", str(bucket))
        features.parent.mkdir(parents=True)
        torch.save((x, labels), features)
        listed = filelist_file(root, str(bucket))
        listed.parent.mkdir(parents=True)
        listed.write_text("\n".join(f"x/{bucket}/{line}.jpg {label}" for line, label in enumerate(labels)))
    return root


@pytest.fixture
def write_config(features_root: Path, tmp_path: Path) -> Callable[..., Path]:
    """`write_config(base, model=..., **cl_strategy)`: a config on `blobs` that extends `_base_/<base>.py`."""

    def write(base: str | None, model: dict[str, Any] = MODEL, **strategy: Any) -> Path:
        file = tmp_path / f"{base}.py"
        small = dict(train_mb_size=8, eval_mb_size=16)
        if base not in ONE_PASS:
            small["train_epochs"] = 2
        scenario = dict(dataset_root=str(features_root), feature_type="blobs")
        bases = [str(BASES / f"{base}.py")] if base else []
        file.write_text(
            f"_base_ = {bases!r}\nscenario = {scenario!r}\nmodel = {model!r}\nseed = 0\n"
            f"cl_strategy = { ({**small, **strategy})!r}\nwork_dir = {str(tmp_path / 'runs')!r}\n"
        )
        return file

    return write


@pytest.fixture
def build(write_config: Callable[..., Path]) -> Callable[..., Built]:
    """`build(base, model=..., plugins_=..., **cl_strategy)`: the experiment, seeded and not trained yet."""

    def make(base: str | None, watching: tuple[Any, ...] = (), **strategy: Any) -> Built:
        file = write_config(base, **strategy)
        settings = fill(open_config(file))
        seed_everything(0)
        stream = build_stream(settings.scenario, settings.data)
        model = build_model(settings, stream, ignore)
        return Built(build_experiment(settings, stream, model, torch.device("cpu"), run=None, plugins=watching), file)

    return make
