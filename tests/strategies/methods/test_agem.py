"""The gradients that A-GEM leaves are those of Avalanche's, bit by bit."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from avalanche.training.plugins import AGEMPlugin as AvalancheAGEMPlugin
from rehearsal.gpu import RehearsalGpu
from torch import nn

from clearctl.strategies.methods.agem import AGEMPlugin


def projected(
    kind: Any, gradients: list[torch.Tensor], reference: torch.Tensor, device: str = "cpu"
) -> list[torch.Tensor]:
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3)).to(device)
    model[0].bias.requires_grad_(False)
    for weight, gradient in zip(model.parameters(), gradients, strict=True):
        weight.grad = gradient.clone().to(device) if weight.requires_grad else None
    before = [weight.grad for weight in model.parameters()]
    plugin = kind(4, 4)
    plugin.buffers, plugin.reference_gradients = [object()], reference.clone().to(device)
    plugin.after_backward(SimpleNamespace(model=model, device=torch.device(device)))
    after = [weight.grad for weight in model.parameters()]
    assert all(a is b for a, b in zip(before, after, strict=True))  # what else holds the gradients sees them change
    return [gradient.cpu().view(torch.int32) for gradient in after if gradient is not None]


@pytest.mark.parametrize("contradicts", [True, False])
def test_projection(contradicts: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(5, 7), (5,), (3, 5), (3,)]
    gradients = [torch.randn(shape, generator=generator) for shape in shapes]
    gradients[3][0] = -0.0
    gradients[1].zero_()
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    reference = torch.randn(flat.shape, generator=generator) + flat * (-1 if contradicts else 1)
    assert (float(flat @ reference) < 0) == contradicts
    ours, theirs = (projected(kind, gradients, reference) for kind in (AGEMPlugin, AvalancheAGEMPlugin))
    with RehearsalGpu() as gpu:
        on_gpu = projected(AGEMPlugin, gradients, reference, "cuda")
    assert gpu.launches["where"] == 1
    assert len(ours) == 3
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(on_gpu, theirs, strict=True))
    changed = not torch.equal(ours[0], gradients[0].view(torch.int32))
    assert changed == contradicts
