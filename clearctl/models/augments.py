"""mmcls's augmentations of whole batches: mixup, cutmix, resizemix."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Augment = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def build_augments(entries: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Augment:
    """mmcls's `train_cfg.augments`: (x [B, ...], class indices [B]) → (mixed x, soft labels [B, num_classes] float32).

    Each batch gets one of the augmentations, by their `prob`; none with what is left to 1. The given `x` stays as it
    is. Draws from Python's, NumPy's and torch's global generators. Raises ValueError for arguments out of range.
    """
    from clearctl.models.openmmlab import Augments

    listed = [entries] if isinstance(entries, Mapping) else entries
    try:
        augments = Augments([_with_floats(entry) for entry in listed])
    except AssertionError as error:
        text = str(error).strip()
        if not text or text.endswith(":"):  # mmcls's bare asserts, with its class's name before them
            text = f"{text} expected alpha > 0, prob from 0 to 1 and a whole number of num_classes".strip()
        raise ValueError(text) from None

    def augment(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # mmcls pastes into the batch itself, which may be a view of the data.
        mixed, soft = augments(x.clone(), y)
        return mixed, soft.float()

    return augment


def _with_floats(entry: Mapping[str, Any]) -> dict[str, Any]:
    """mmcls insists on floats, `prob=1.` for `prob=1`."""
    whole = {name for name in ("alpha", "prob") if type(entry.get(name)) is int}
    return {name: float(value) if name in whole else value for name, value in entry.items()}
