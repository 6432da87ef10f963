"""Which decoded images stay in the memory of a GPU."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import write_photos
from pipelines import FLOATS
from rehearsal.gpu import CUDA, RehearsalGpu
from torchvision import transforms as T

from clearctl import train
from clearctl.data.cache.build import fill
from clearctl.data.cache.files import ImageFiles
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.data.transforms import split_steps
from clearctl.engine.build.resident import keep_images_resident
from clearctl.errors import CapabilityError
from clearctl.progress import Event, Message

GPU = torch.device(CUDA)
IMAGE_BYTES = 3 * 20 * 20
IMAGES = 6


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageFiles:
    return write_photos(tmp_path_factory.mktemp("photos"), IMAGES)


def pair(photos: ImageFiles, train_steps: list[Any], size_px: int = 20) -> dict[str, CachedTransform]:
    """Transforms to train with and to test with; over one store, where the images are of one size."""
    splits = {
        "train_transform": split_steps([T.Resize((20, 20)), *train_steps, *FLOATS]),
        "eval_transform": split_steps([T.Resize((size_px, size_px)), *FLOATS]),
    }
    stores = {str(split.leading): ImageStore(photos, split.leading) for split in splits.values()}
    for store in stores.values():
        fill(store, on_disk=False, image_bytes=IMAGE_BYTES)
    return {name: CachedTransform(stores[str(split.leading)], split) for name, split in splits.items()}


def kept(transforms: dict[str, CachedTransform], loader: str, free_bytes: int) -> tuple[list[str], list[str]]:
    """The names of those that are resident, and what was said."""
    said: list[str] = []

    def hear(event: Event) -> None:
        assert isinstance(event, Message)
        said.append(event.text)

    with RehearsalGpu(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 80 * free_bytes))
        keep_images_resident(transforms, loader, GPU, hear)
    return [name for name, transform in transforms.items() if transform.resident is not None], said


NEED_BYTES = IMAGES * IMAGE_BYTES
STAY = "images stay on the GPU once they are used"
COPIED = "images are copied to the GPU batch by batch, since"


def test_images_of_one_store_stay_once(photos: ImageFiles) -> None:
    transforms = pair(photos, [T.RandomHorizontalFlip()])
    found, said = kept(transforms, "auto", 4 * NEED_BYTES)
    assert found == ["train_transform", "eval_transform"]
    assert transforms["train_transform"].resident is transforms["eval_transform"].resident
    assert said == [f"train_transform: {STAY} (7.2 kB)"]


def test_by_default_a_quarter_of_the_memory_is_used(photos: ImageFiles) -> None:
    assert kept(pair(photos, [T.RandomHorizontalFlip()]), "auto", 4 * NEED_BYTES - 4) == (
        [],
        [
            f"{name}: {COPIED} they take 7.2 kB, and 28.8 kB of its memory are free for this run"
            for name in ("train_transform", "eval_transform")
        ],
    )
    two_stores = pair(photos, [T.RandomHorizontalFlip()], size_px=24)
    assert kept(two_stores, "auto", 4 * NEED_BYTES)[0] == ["train_transform"]
    assert two_stores["train_transform"].resident is not None
    both = int(4 * NEED_BYTES * (1 + 24 * 24 / 20 / 20))
    assert kept(pair(photos, [T.RandomHorizontalFlip()], size_px=24), "auto", both)[0] == list(two_stores)


def test_runs_of_a_sweep_share_the_memory(photos: ImageFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clearctl.engine.gpu._runs", 3)
    for free_bytes, stay in ((12 * NEED_BYTES, True), (12 * NEED_BYTES - 12, False)):
        assert bool(kept(pair(photos, []), "auto", free_bytes)[0]) == stay


def test_resident_takes_what_is_free_or_is_refused(photos: ImageFiles) -> None:
    assert kept(pair(photos, []), "resident", NEED_BYTES)[0] == ["train_transform", "eval_transform"]
    with pytest.raises(CapabilityError) as error:
        kept(pair(photos, []), "resident", NEED_BYTES - 1)
    assert str(error.value) == (
        "data.loader='resident': the images of train_transform cannot stay on the GPU: they take 7.2 kB, and 7.2 kB of"
        " its memory are free for this run\nuse data.loader='auto', which copies them batch by batch"
    )


def test_what_computes_new_pixels_is_copied(photos: ImageFiles) -> None:
    steps = [T.ColorJitter(0.5)]
    found, said = kept(pair(photos, steps), "auto", 8 * NEED_BYTES)
    assert found == ["eval_transform"]
    assert said == [f"train_transform: {COPIED} ColorJitter computes new pixels", f"eval_transform: {STAY} (7.2 kB)"]
    with pytest.raises(CapabilityError, match="the images of train_transform cannot stay on the GPU: ColorJitter"):
        kept(pair(photos, steps), "resident", 8 * NEED_BYTES)


def test_mapped_copies_all_and_a_cpu_has_none(photos: ImageFiles) -> None:
    transforms = pair(photos, [])
    assert kept(transforms, "mapped", 8 * NEED_BYTES) == ([], [])
    for loader in ("auto", "resident"):
        keep_images_resident(transforms, loader, torch.device("cpu"), lambda event: pytest.fail(str(event)))
    assert transforms["train_transform"].resident is None


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_has_the_weights_of_one_that_copies_its_batches(
    workers: int, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    runs = {}
    for loader in ("resident", "mapped"):
        with RehearsalGpu():
            runs[loader] = train(
                tiny_config,
                device="cuda",
                dataset_root=prepared,
                work_dir=tmp_path / loader,
                overrides=[f"data.loader={loader}", f"data.workers={workers}", "cl_strategy.train_epochs=2"],
            )
    assert runs["resident"].matrix.tolist() == runs["mapped"].matrix.tolist()
    weights = [torch.load(found.run / "checkpoints" / "exp_2.pth") for found in runs.values()]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
