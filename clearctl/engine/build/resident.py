"""Chooses whose decoded images stay in the memory of a GPU."""

from collections.abc import Mapping

import torch

from clearctl.data.cache.resident import ResidentImages
from clearctl.data.cache.store import ImageStore
from clearctl.data.cache.transform import CachedTransform
from clearctl.engine.gpu import free_bytes
from clearctl.errors import CapabilityError
from clearctl.progress import Listener, Message
from clearctl.units import byte_size

PART_OF_FREE_MEMORY = 4  # with loader='auto': a quarter for images, the rest for the network and its batches


def keep_images_resident(
    transforms: Mapping[str, CachedTransform], loader: str, device: torch.device, listener: Listener
) -> None:
    """Make the images of `transforms` resident on `device`, where that is a GPU, as `loader` (of `data`) says.

    With "auto" those that fit, the first ones first; with "resident" all, or CapabilityError is raised; with "mapped"
    none. Transforms over one store share its images.
    """
    if device.type != "cuda" or loader == "mapped":
        return
    there: dict[int, ResidentImages] = {}
    free = free_bytes(device)
    room_bytes = free if loader == "resident" else free // PART_OF_FREE_MEMORY
    for name, transform in transforms.items():
        store = transform.store
        if not store.num_wanted:
            continue
        reason = transform.why_not_resident()
        if reason is None and id(store) not in there:
            reason = _does_not_fit(store, room_bytes, free)
            if reason is None:
                there[id(store)] = ResidentImages(store, device)
                room_bytes -= store.num_bytes
                listener(Message(f"{name}: images stay on the GPU once they are used ({byte_size(store.num_bytes)})"))
        if reason is None:
            transform.resident = there[id(store)]
        elif loader == "resident":
            raise CapabilityError(
                f"data.loader='resident': the images of {name} cannot stay on the GPU: {reason}\n"
                "use data.loader='auto', which copies them batch by batch"
            )
        else:
            listener(Message(f"{name}: images are copied to the GPU batch by batch, since {reason}"))


def _does_not_fit(store: ImageStore, room_bytes: int, free: int) -> str | None:
    if store.num_bytes <= room_bytes:
        return None
    return f"they take {byte_size(store.num_bytes)}, and {byte_size(free)} of its memory are free for this run"
