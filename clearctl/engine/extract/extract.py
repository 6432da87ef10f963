"""`extract-features`: from an architecture's name, a checkpoint and a transform to features of a prepared folder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearctl import atomic, layout, lock
from clearctl.cores import usable_cores
from clearctl.data.cache.stores import cache_folders
from clearctl.data.transforms import split_steps
from clearctl.dataset.arguments import choose_buckets
from clearctl.distributed import world
from clearctl.distributed.world import PeerLostError, broadcast, detect_lost_peers, process_group
from clearctl.engine.build.accelerate import require_compiler, warn_of_slow_precision
from clearctl.engine.extract.arguments import check_arguments, check_name
from clearctl.engine.extract.network import choose_transform, filled_network, probe_images
from clearctl.engine.extract.noted import about, settings_of
from clearctl.engine.extract.recipe import build_recipe, built
from clearctl.engine.machine import (
    current_device,
    require_worker_processes,
    resolve_device,
)
from clearctl.errors import DatasetError
from clearctl.features.extract import extract
from clearctl.features.official import write_official
from clearctl.features.record import ExtractionRecord
from clearctl.models.extractor import feature_dimension
from clearctl.models.folding import folded
from clearctl.progress import Listener, Message, ignore
from clearctl.shortrepr import ShortRepr

BATCH_SIZE = {"cpu": 32, "cuda": 256}
MOST_WORKERS = 16


@dataclass(frozen=True, repr=False)
class ExtractResult(ShortRepr):
    """The result of `extract_features`: the features' folder, their dimension, and the speed.

    `buckets` are all that exist now, `written` those of this call; `images` were read in `seconds`, `cached` of
    them without decoding. Of the seconds the network waited `waiting_s` for images and was compiled for `compiling_s`.
    `official` are the folders of per-class files, if they were requested. Of several processes `images` and
    `cached` are of all, the times and `workers` the first's.
    """

    name: str
    folder: Path
    dimension: int
    weights: str
    device: str
    buckets: tuple[str, ...]
    written: tuple[str, ...]
    images: int
    cached: int
    seconds: float
    waiting_s: float
    compiling_s: float
    workers: int
    official: tuple[Path, ...]


def extract_features(
    root: Path | str,
    *,
    arch: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    config: Path | str | None = None,
    name: str | None = None,
    checkpoint: Path | str | None = None,
    weights: str | None = None,
    allow_partial: bool = False,
    transform: Path | str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    fast: bool | None = None,
    compile: bool = False,
    batch_size: int | None = None,
    workers: int | None = None,
    cache: str = "auto",
    cache_dir: Path | str | None = None,
    buckets: Sequence[str | int] | None = None,
    official: bool = False,
    force: bool = False,
    listener: Listener = ignore,
) -> ExtractResult:
    """Extract the features of a frozen network for every image of a folder that `prepare_avalanche` has prepared.

    Args:
        root: the dataset folder.
        arch: a classification model of torchvision.models (resnet50 when None); `timm:NAME`, a model of timm;
            `open_clip:NAME/PRETRAINED`, an image tower of open_clip; or `mmcls:TYPE`, a backbone of mmcls.
        arguments: what the constructor of `arch` is given.
        config: a config file whose `model.backbone` takes the place of `arch` and `arguments`, and whose
            `scenario.eval_transform` that of the default transform.
        name: what the features are called, and their folder; by default after the architecture or the config.
        checkpoint: weights to fill the network with, in a file or in a folder as on Hugging Face's hub; a classifier in
            the file is ignored.
        weights: without a checkpoint, `default` (the library's, when None) or `none`: random ones.
        allow_partial: continue where the checkpoint does not fill every weight; what it leaves is random, and reported.
        transform: `published` (Resize 224, CenterCrop 224, ToTensor, Normalize), the default for torchvision and mmcls;
            `model`, what the library states for the weights, the default for timm and open_clip; or a file: a config
            with a `scenario.eval_transform`, or the extraction.json of other features.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        precision: `fp32`, or `bf16` or `fp16` for speed; the features are stored as float32 in any case.
        fast: rewrite the network and the layout of batches for speed (batch norms folded, channels last), which
            changes the last bits of features; the default for torchvision and mmcls. False leaves both as the library
            has them, the default for timm and open_clip: features are bit-identical to the library's.
        compile: have torch.compile make code of the network first, which took 7 to 20 s for ResNet-50 and pays from
            some thousands of images on. Features differ in the last bits; it needs a compiler on the machine.
        batch_size: images at once; by default as fits the device.
        workers: processes that decode images, for each process of a run; by default as fits the device.
        cache: `auto` reads the images that runs of `train` left decoded (their `data.cache`) instead of decoding
            them, and adds none; `off` decodes all. The bytes of the features are the same.
        cache_dir: where those runs kept them, if their config has a `data.cache_dir`.
        buckets: only these; all when None.
        official: also write the per-class files that releases ship (`features.official`).
        force: replace features of that name that were extracted differently.
        listener: notified of the images done and of what was decided.

    The same command after a kill continues from the last whole bucket and ends in the same bytes. Raises UsageError,
    ConfigError, DatasetError, RunError (a checkpoint that does not fit) and CapabilityError; nothing is written where
    it can be known before, and a bucket is whole or not there.

    Under torchrun every process calls it, and they share the batches; the first writes, and all return its result. The
    bytes are those that one process writes, on a CPU with as many threads of torch (OMP_NUM_THREADS, which torchrun
    sets to 1): with more or fewer, sums are rounded elsewhere. Raises PeerLostError if another process has ended.
    """
    root = Path(root)
    listener = listener if world.is_first() else ignore
    check_arguments(precision, batch_size, workers, checkpoint, weights, cache, cache_dir)
    target = resolve_device(device)
    # Before the processes talk: the check imports Avalanche, which makes a logger then, and refuses to in the others.
    recipe = build_recipe(arch, arguments, config, transform)
    with _shared_work(target):
        chosen = choose_buckets(root, layout.read_bucket_indices(root), buckets)
        warn_of_slow_precision(target, precision, listener)
        if compile:
            require_compiler(target)
        called = check_name(name or recipe.name)
        network, source = filled_network(recipe, checkpoint, weights, allow_partial, listener)
        steps = choose_transform(recipe, network, source, listener)
        stages = split_steps(built(steps))
        probe = probe_images(root, chosen[0], stages)
        dimension = feature_dimension(network, probe)
        listener(Message(f"features {called!r}: {recipe.arch}, {source.name}, {dimension} numbers per image"))
        exact = not (compile or (fast if fast is not None else not network.is_exact))
        settings = settings_of(recipe, network, steps, target, precision=precision, exact=exact, compile=compile)
        record = ExtractionRecord(root, called, settings, about(source.record, target), dimension)
        loaders = default_workers(target) if workers is None else workers
        require_worker_processes(loaders)
        folder = layout.features_folder(root, called)
        with _features_lock(root, called):
            done = extract(
                record,
                chosen,
                network if exact else folded(network, probe),
                stages,
                caches=() if cache == "off" else cache_folders(root, cache_dir),
                device=target,
                precision=precision,
                compile=compile,
                channels_last=not exact,
                batch_size=batch_size or BATCH_SIZE[target.type],
                workers=loaders,
                force=force,
                listener=listener,
            )
            folders = _official(root, called, force, listener) if official and world.is_first() else ()
        return broadcast(
            ExtractResult(
                called,
                folder,
                dimension,
                source.name,
                str(target),
                chosen,
                done.written,
                done.images,
                done.cached,
                done.seconds,
                done.waiting_s,
                done.compiling_s,
                loaders,
                folders,
            )
        )


@contextmanager
def _shared_work(device: torch.device) -> Iterator[None]:
    """A context in which the processes of a run can communicate; a PeerLostError says how to continue."""
    try:
        with current_device(device), detect_lost_peers(), process_group(device):
            yield
    except PeerLostError as error:
        rest = (
            "torchrun restarts all processes, which continue"
            if world.restarts_processes()
            else "run the same command to continue"
        )
        raise PeerLostError(f"{error}\n{rest} from the last complete bucket") from None


@contextmanager
def _features_lock(root: Path, name: str) -> Iterator[None]:
    """Hold the features of a name, for all processes. Entering raises DatasetError if another command holds them.

    Unfinished files of a killed command are removed first.
    """
    if not world.is_first():
        yield
        return
    folder, official = layout.features_folder(root, name), layout.released_features_folder(root) / name
    with lock.exclusive_lock(folder.with_name(f".{folder.name}.lock"), folder, DatasetError):
        atomic.remove_temporary(folder, *folder.glob("*"), official, *official.glob("*"))
        yield


def _official(root: Path, name: str, force: bool, listener: Listener) -> tuple[Path, ...]:
    """Write per-class files of all existing buckets, so that all have one origin; returns their folders."""
    made = [bucket for bucket in layout.read_bucket_indices(root) if layout.features_file(root, name, bucket).is_file()]
    return write_official(root, name, made, force=force, listener=listener)


def default_workers(device: torch.device) -> int:
    """The number of processes that decode: one per core if the network has a GPU, else none, to leave it all cores.

    The processes that a run has on this machine share its cores.
    """
    if device.type == "cpu":
        return 0
    return min(MOST_WORKERS, max(1, usable_cores() // world.local_size()))
