"""A frozen backbone that turns images into feature vectors. `models.zoo` builds those of the libraries."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from clearctl.distributed.randomness import preserve_random_states
from clearctl.errors import UsageError
from clearctl.wording import in_one_line

StateDict = dict[str, torch.Tensor]


def as_given(output: torch.Tensor) -> torch.Tensor:
    """The features that a backbone gives as they are: `[B, D]`."""
    return output


class FeatureExtractor(nn.Module):
    """A backbone without a classifier, always in eval mode and without gradients.

    forward: `x [B, 3, H, W] float32` → `[B, D]`: `pool` of the backbone's output.

    `backbone` is the library's own module, so the names in `backbone.state_dict()` are the library's. Where `is_exact`,
    features are bit-identical to what the library computes unless speed is requested. `convert` maps a file's weights
    to the names and shapes of a backbone, as the library does, and `wrappers` are the keys of a checkpoint under which
    the library looks for weights first.
    """

    def __init__(
        self,
        arch: str,
        arguments: Mapping[str, Any],
        backbone: nn.Module,
        classifier: str | Sequence[str] | None = None,
        *,
        pool: Callable[[Any], torch.Tensor] = as_given,
        is_exact: bool = False,
        convert: Callable[[StateDict, nn.Module], StateDict] | None = None,
        wrappers: Sequence[str] = (),
    ) -> None:
        """`classifier` are the names that the layers which were cut off had in the library's model."""
        super().__init__()
        self.arch = arch
        self.arguments = dict(arguments)
        self.backbone = backbone
        self.classifier = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
        self.pool = pool
        self.is_exact = is_exact
        self.convert = convert
        self.wrappers = tuple(wrappers)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "FeatureExtractor":
        """Stay in eval mode, whatever `mode` is: features must not depend on the rest of a batch."""
        return super().train(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The features `[B, D]`. Raises UsageError if the backbone's arguments leave no output."""
        return self.pool(self.backbone(x))


def feature_dimension(extractor: FeatureExtractor, x: torch.Tensor) -> int:
    """D of the features of `x [B, 3, H, W]`, found by one forward pass that leaves no trace.

    Raises UsageError if the backbone takes no images of that size, or gives no vectors.
    """
    height, width = x.shape[2:]
    try:
        with torch.no_grad(), preserve_random_states():
            features = extractor(x)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"{extractor.arch} rejects RGB images of {height}x{width} px: {in_one_line(error)}") from None
    if features.shape[:1] != x.shape[:1] or features.ndim != 2:
        raise UsageError(
            f"{extractor.arch} gives {list(features.shape)} for {len(x)} images, expected a vector for each"
        )
    return int(features.shape[1])
