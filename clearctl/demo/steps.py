"""Every step of a real experiment, on a stream of images that scikit-learn ships."""

from dataclasses import dataclass
from pathlib import Path

from clearctl.config.shipped import FOLDER
from clearctl.dataset.prepare import prepare_avalanche
from clearctl.demo import lite0
from clearctl.demo.digits import make_dataset
from clearctl.engine.extract.extract import ExtractResult, extract_features
from clearctl.engine.machine import resolve_device
from clearctl.engine.run.evaluate import EvalResult, evaluate
from clearctl.engine.run.train import TrainResult, train
from clearctl.errors import UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.rundir import checkpoint_file, is_run

CONFIG = FOLDER / "quickstart.py"
FEATURE_CONFIG = FOLDER / "quickstart_feature.py"
LITE0_CONFIG = FOLDER / "quickstart_lite0.py"
FEATURES = "bucket1"


@dataclass(frozen=True)
class DemoResult:
    """The dataset's folder, the results of training and of testing its checkpoints again, and the same on features.

    `extracted` are the features of the network as it was after bucket 1, `on_features` a linear head trained on them;
    `on_lite0` is an exact head on features of ImageNet, if they were requested.
    """

    dataset_root: Path
    trained: TrainResult
    tested: EvalResult
    extracted: ExtractResult
    on_features: TrainResult
    on_lite0: TrainResult | None = None


def run_demo(
    folder: Path, *, seed: int = 0, device: str = "auto", features: str = FEATURES, listener: Listener = ignore
) -> DemoResult:
    """Make the dataset in `folder`/dataset, prepare it, train into `folder`/runs and test the checkpoints.

    With `features` "lite0" an exact head on features of ImageNet follows (`demo.lite0`). Steps that are
    complete are not repeated. Raises what the steps raise.
    """
    if features == lite0.NAME:
        lite0.require_package()
    resolve_device(device)  # before anything is written
    if is_run(folder):
        raise UsageError(f"{folder} is a run folder: give another folder")
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
    transferred = None
    if features == lite0.NAME:
        extract_lite0(folder, root, device=device, listener=listener)
        _report(listener, f"8. clearctl train quickstart_lite0 {shared}")
        transferred = train(
            LITE0_CONFIG, device=device, work_dir=folder / "runs", seed=seed, dataset_root=root, listener=listener
        )
    return DemoResult(root, trained, tested, extracted, on_features, transferred)


def extract_lite0(
    folder: Path, root: Path, *, device: str, listener: Listener, buckets: tuple[str, ...] | None = None
) -> ExtractResult:
    """Extract ImageNet's features of the dataset `root`, with weights written to `folder`; of all `buckets` if None."""
    weights = folder / "lite0.pth"
    if not weights.is_file():
        lite0.write_checkpoint(weights)
    command = f"clearctl extract-features --arch {lite0.ARCH} --checkpoint {weights} --name {lite0.NAME} --fast"
    _report(listener, f"7. {command} --dataset-root {root}")
    return extract_features(
        root,
        arch=lite0.ARCH,
        checkpoint=weights,
        name=lite0.NAME,
        device=device,
        buckets=buckets,
        fast=True,
        force=True,
        listener=listener,
    )


def _report(listener: Listener, text: str) -> None:
    listener(Message(text))
