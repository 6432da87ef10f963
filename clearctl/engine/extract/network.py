"""The network of `extract-features` with its weights, and the matching transform."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearctl import layout
from clearctl.data.cache.existing import ExistingImages
from clearctl.data.cache.files import list_files
from clearctl.data.samples import ImageSamples
from clearctl.data.transforms import TransformStages
from clearctl.distributed import world
from clearctl.distributed.world import gather_to_first
from clearctl.engine.extract.recipe import Recipe, model_transform
from clearctl.errors import CapabilityError, DatasetError, UsageError
from clearctl.models.extractor import FeatureExtractor
from clearctl.models.zoo.build import build_extractor, load_default_weights, load_weights, transform_steps
from clearctl.models.zoo.names import MMCLS, OPEN_CLIP, TIMM
from clearctl.models.zoo.transforms import Steps, describe, disagreements
from clearctl.progress import Listener, Message
from clearctl.wording import few, in_one_line

PROBE_SEED = 0
RANDOM = "RANDOM WEIGHTS (--weights none): nothing was learned"  # recorded in extraction.json


@dataclass(frozen=True)
class Source:
    """The source of a network's weights: `record` is for extraction.json.

    `is_stated` says whether the library states the transform of these very weights.
    """

    name: str
    record: dict[str, Any]
    is_stated: bool


def fill(
    network: FeatureExtractor,
    checkpoint: Path | str | None,
    weights: str | None,
    allow_partial: bool,
    listener: Listener,
) -> Source:
    """Fill the network with weights. Raises UsageError, RunError and CapabilityError."""
    if checkpoint is not None:
        report = load_weights(network, Path(checkpoint), allow_partial=allow_partial)
        if report.left_random:
            listener(Message(f"{checkpoint} has no weights for, left random: {few(report.left_random)}", warning=True))
        name = Path(checkpoint).name
        record = {
            "from": name,
            "file": str(Path(checkpoint).resolve()),
            "prefix": report.prefix,
            "left_random": list(report.left_random),
        }
        # torchvision states it of its own weights only, and a file may hold any.
        return Source(name, record, network.arch.startswith((TIMM, OPEN_CLIP)))
    if weights == "none":
        listener(
            Message(
                "--weights none: the network is RANDOM, its features are useful for trying things only", warning=True
            )
        )
        return Source(RANDOM, {"from": RANDOM}, False)
    name = load_default_weights(network, listener)
    return Source(name, {"from": name}, not network.arch.startswith(MMCLS))


def filled_network(
    recipe: Recipe,
    checkpoint: Path | str | None,
    weights: str | None,
    allow_partial: bool,
    listener: Listener,
) -> tuple[FeatureExtractor, Source]:
    """The recipe's network with its weights. One process of each machine downloads them, then the others load them."""
    network = build_extractor(recipe.arch, recipe.arguments)
    if world.local_rank() > 0:
        gather_to_first(None)
    source = fill(network, checkpoint, weights, allow_partial, listener)
    if world.local_rank() == 0:
        gather_to_first(None)
    return network, source


def choose_transform(recipe: Recipe, network: FeatureExtractor, source: Source, listener: Listener) -> Steps:
    """The recipe's transform, or the model's own, which is reported, as is a mismatch with the weights."""
    steps = model_transform(network) if recipe.transform is None else recipe.transform
    listener(Message(f"transform: {describe(steps)}"))
    stated = transform_steps(network) if source.is_stated else None
    differing = disagreements(steps, stated) if stated else []
    if differing:
        text = f"{source.name} states {', '.join(differing)}: these are not the features that its authors intended"
        listener(Message(f"{text} (--transform model uses theirs)", warning=True))
    return steps


def probe_images(root: Path, bucket: str, stages: TransformStages) -> torch.Tensor:
    """Two random images `[2, 3, H, W]` of the size that the transform gives the first image of the bucket."""
    classes = len(layout.read_class_names(root))
    first = ImageSamples(root, bucket, layout.read_bucket_filelist(root, bucket, classes)[:1])
    try:
        shape = ExistingImages(list_files([first]), stages).pixels(0).shape
    except (DatasetError, CapabilityError):
        raise
    except Exception as error:
        raise UsageError(f"the transform fails on {first.paths[0]}: {in_one_line(error)}") from None
    return probe_batch(shape, stages)


def probe_batch(shape: torch.Size, stages: TransformStages) -> torch.Tensor:
    """Two random images of `shape` [3, H, W], passed through `finish`."""
    generator = torch.Generator().manual_seed(PROBE_SEED)
    noise = torch.randint(0, 256, (2, *shape), generator=generator, dtype=torch.uint8)
    return stages.finish(noise).float()
