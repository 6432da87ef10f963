"""The classifier's last layer, and the features it takes: what several strategies need of a model."""

from functools import lru_cache
from typing import Any

import torch
from torch import nn

from clearctl.distributed.split import whole_batch


def last_layer(network: nn.Module) -> tuple[str, Any]:
    """(dotted name, module) of the last layer with a weight matrix `[num_classes, D]`. Raises ValueError without one.

    That is the Linear of mmcls's heads, or a cosine layer; the name is empty if the network is that layer itself.
    """
    found = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(getattr(module, "weight", None), torch.Tensor) and module.weight.ndim == 2
    ]
    if not found:
        raise ValueError("the model has no layer with a weight matrix [num_classes, D] at its end")
    return found[-1]


class Embedding(nn.Module):
    """A network up to its last layer: forward gives `[B, D]`, what that layer takes; `scores` gives both.

    Nothing is copied or cut: the weights are the network's own.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.layer_name, _ = last_layer(network)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features `[B, D]`, through which gradients flow."""
        return self.scores(x)[1]

    def scores(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(class scores `[B, num_classes]`, features `[B, D]`). Raises ValueError if the layer alone does not score."""
        taken: list[torch.Tensor] = []
        # The layer is looked up here: a deep copy of this module must watch its own layer, not the original's.
        layer = self.network.get_submodule(self.layer_name)
        watch = layer.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
        try:
            scores = self.network(x)
        finally:
            watch.remove()
        if len(taken) != 1 or taken[0].ndim != 2:
            raise ValueError(f"the layer {self.layer_name!r} does not take one vector for each sample")
        features = whole_batch(taken[0], x) if len(taken[0]) < len(scores) else taken[0]
        # Under autocast the layer takes half precision; those who take its features compute in float32.
        return scores, features.to(scores.dtype)


def layer_features(network: nn.Module, x: torch.Tensor, layer: str | None) -> torch.Tensor:
    """Features `[B, D]` of samples `x [B, ...]`: what the last layer takes, or what the one called `layer` gives.

    Of several tensors that it gives, as necks do for the stages of a backbone, the last counts. Raises ValueError for
    a layer that gives none, or is not called itself: mmcls's heads, whose layers are.
    """
    if layer is None:
        return Embedding(network)(x)
    given: list[Any] = []
    with network.get_submodule(layer).register_forward_hook(lambda module, inputs, output: given.append(output)):
        network(x)
    found = given[-1] if given else None
    while isinstance(found, list | tuple) and found:
        found = found[-1]
    if not isinstance(found, torch.Tensor) or len(found) != len(x):
        raise ValueError(f"the layer {layer!r} gives no numbers for each sample")
    return found.flatten(1)


@lru_cache(maxsize=64)
def class_index(classes: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Class indices as a tensor `[len(classes)] int64` on `device`, to be read alone.

    It is made once: a list as an index of scores is copied to a GPU in each step, for which the host waits.
    """
    return torch.tensor(classes, dtype=torch.int64, device=device)


def normalises_weights(layer: Any) -> bool:
    """Whether the length of a class's weight vector makes no difference to its score, as in a cosine head.

    Asked of the layer itself, with its weights doubled, so that no class name needs to be known.
    """
    with torch.no_grad():
        x = torch.linspace(-1, 1, layer.weight.shape[1], device=layer.weight.device, dtype=layer.weight.dtype)[None]
        kept = layer.weight.clone()
        if not kept.any():
            return False
        before = layer(x)
        layer.weight.mul_(2)
        after = layer(x)
        layer.weight.copy_(kept)
    return bool(torch.allclose(before, after, rtol=1e-4, atol=1e-6))
