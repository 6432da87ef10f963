"""Every step of the real work, one after another, on a stream made of images that scikit-learn ships."""

from dataclasses import dataclass
from pathlib import Path

from clearctl.config.shipped import FOLDER
from clearctl.dataset.prepare import prepare_avalanche
from clearctl.demo.digits import make_dataset
from clearctl.engine.extract.extract import ExtractResult, extract_features
from clearctl.engine.run.evaluate import EvalResult, evaluate
from clearctl.engine.run.train import TrainResult, train
from clearctl.progress import Listener, Message, ignore
from clearctl.rundir import checkpoint_file

CONFIG = FOLDER / "quickstart.py"
FEATURE_CONFIG = FOLDER / "quickstart_feature.py"
FEATURES = "bucket1"


@dataclass(frozen=True)
class DemoResult:
    """Where the dataset lies, what training found, what testing its checkpoints again found, and the same on features.

    `extracted` are the features of the network as it was after bucket 1, `on_features` a linear head trained on them.
    """

    dataset_root: Path
    trained: TrainResult
    tested: EvalResult
    extracted: ExtractResult
    on_features: TrainResult


def run_demo(folder: Path, *, seed: int = 0, device: str = "auto", listener: Listener = ignore) -> DemoResult:
    """Make the dataset in `folder`/dataset, prepare it, train into `folder`/runs and test the checkpoints.

    What is there already and right is kept. Raises what the steps raise.
    """
    root = folder / "dataset"
    _report(listener, f"1. a CLEAR-shaped dataset of handwritten digits: {root}")
    make_dataset(root)
    _report(listener, f"2. clearctl prepare-avalanche --dataset-root {root}")
    prepare_avalanche(root, listener=listener)
    shared = f"--dataset-root {root} --work-dir {folder / 'runs'} --seed {seed}"
    _report(listener, f"3. clearctl train quickstart {shared}")
    trained = train(CONFIG, device=device, work_dir=folder / "runs", seed=seed, dataset_root=root, listener=listener)
    _report(listener, f"4. clearctl eval {trained.run}")
    tested = evaluate(trained.run, device=device, listener=listener)
    checkpoint = checkpoint_file(trained.run, 1)  # after bucket 1 alone
    _report(
        listener,
        f"5. clearctl extract-features --config quickstart --checkpoint {checkpoint} --name {FEATURES}"
        f" --dataset-root {root}",
    )
    extracted = extract_features(
        root, config=CONFIG, checkpoint=checkpoint, name=FEATURES, device=device, force=True, listener=listener
    )
    _report(listener, f"6. clearctl train quickstart_feature {shared}")
    on_features = train(
        FEATURE_CONFIG, device=device, work_dir=folder / "runs", seed=seed, dataset_root=root, listener=listener
    )
    return DemoResult(root, trained, tested, extracted, on_features)


def _report(listener: Listener, text: str) -> None:
    listener(Message(text))
