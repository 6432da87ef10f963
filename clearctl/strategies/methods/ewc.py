"""Elastic weight consolidation with importances of batches, as in Avalanche, or of samples, as its paper does."""

from collections.abc import Callable

import torch
from avalanche.training.plugins import EWCPlugin
from avalanche.training.utils import ParamData
from torch import nn
from torch.func import functional_call, grad, vmap

from clearctl.errors import ConfigError
from clearctl.strategies.loading.gather import in_order
from clearctl.strategies.strategy import ClassificationDataset
from clearctl.wording import in_one_line

IMPORTANCES = ("batch", "sample")
NUMBERS_AT_ONCE = 1 << 26  # gradients held at a time: 256 MB


class SampleEWCPlugin(EWCPlugin):
    """EWC whose importance of a weight is the mean over samples of the squared gradient of the sample's own loss.

    That is the diagonal of the empirical Fisher information (Kirkpatrick et al., PNAS 2017), which does not depend on
    the batch size. The penalty is `ewc_lambda` * sum(importance * movement^2), without the paper's factor 1/2.
    """

    def compute_importances(
        self,
        model: nn.Module,
        criterion: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        optimizer: torch.optim.Optimizer,
        dataset: ClassificationDataset,
        device: torch.device,
        batch_size: int,
        num_workers: int = 0,
    ) -> dict[str, ParamData]:
        """{name of a weight: its importance} of the samples of `dataset`, by torch.func, in a network in eval mode.

        Raises ConfigError for a network that computes something which torch.func.vmap cannot batch.
        """
        model.eval()
        learned = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        weights = {name: weight.detach() for name, weight in learned.items()}
        rest: dict[str, torch.Tensor] = {n: value for n, value in model.named_parameters() if n not in learned}
        rest.update(model.named_buffers())

        def loss(weights: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            value: torch.Tensor = criterion(functional_call(model, {**rest, **weights}, (x[None],)), y[None])
            return value

        at_once = max(1, NUMBERS_AT_ONCE // sum(weight.numel() for weight in weights.values()))
        gradients = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=at_once, randomness="different")
        sums = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        for x, y, *_ in in_order(dataset, min(batch_size, at_once), num_workers, device):
            try:
                found = gradients(weights, x.to(device), y.to(device))
            except RuntimeError as error:
                raise ConfigError(f"importance='sample' cannot be computed for this network: {error}") from error
            for name, value in found.items():
                sums[name] += value.square().sum(0)
        optimizer.zero_grad()
        model.train()
        means = {name: value / len(dataset) for name, value in sums.items()}
        zeros = {name: torch.zeros_like(weight) for name, weight in model.named_parameters() if name not in means}
        return {
            name: ParamData(name, value.shape, init_tensor=value, device=value.device)
            for name, value in ((name, {**means, **zeros}[name]) for name, _ in model.named_parameters())
        }


def sample_gradient_fault(network: nn.Module, x: torch.Tensor) -> str | None:
    """The reason why `network` does not support `importance='sample'` for samples `x [B, ...]`; None if it does."""
    learned = {name: weight.detach() for name, weight in network.named_parameters() if weight.requires_grad}
    rest = {name: value for name, value in network.named_parameters() if name not in learned}

    def score(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = functional_call(network, {**rest, **weights}, (x[None],)).sum()
        return value

    try:
        vmap(grad(score), in_dims=(None, 0), randomness="different")(learned, x)
    except RuntimeError as error:
        return f"'sample' cannot be computed for this network: {in_one_line(error)}"
    return None


def ewc_plugin(
    ewc_lambda: float,
    mode: str = "separate",
    decay_factor: float | None = None,
    keep_importance_data: bool = False,
    importance: str = "batch",
) -> EWCPlugin:
    """Elastic weight consolidation (Kirkpatrick et al., PNAS 2017): weights are held back by their importance.

    With `importance='batch'`, Avalanche's, it is the mean over mini-batches of the squared gradient of the batch's
    mean loss: it shrinks as `train_mb_size` grows, about in proportion, and `ewc_lambda` has to grow with it. With
    `'sample'` it is the mean over samples, as in the paper.
    """
    if importance not in IMPORTANCES:
        raise ValueError(f"importance is {importance!r}, expected 'batch' or 'sample'")
    kind = EWCPlugin if importance == "batch" else SampleEWCPlugin
    return kind(ewc_lambda, mode, decay_factor, keep_importance_data)
