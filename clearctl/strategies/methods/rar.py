"""Retrospective adversarial replay, without torch.fx and with a memory whose position is known."""

import copy

import torch
from avalanche.training.plugins import RARPlugin as AvalancheRARPlugin

from clearctl.strategies.loading.positions import Endless, LoaderPosition
from clearctl.strategies.loading.resumable import passes
from clearctl.strategies.methods.head import layer_features
from clearctl.strategies.strategy import ClassificationDataset, Loader, Strategy, TensorBatch


class RARPlugin(AvalancheRARPlugin):
    """Retrospective adversarial replay (Kumari et al., NeurIPS 2022).

    Features, by which a sample of the memory finds the nearest of another class in the mini-batch, are what the last
    layer takes, or what the layer `name_ext_layer` gives. Avalanche's cuts the network by torch.fx, which cannot trace
    mmcls's, takes the farthest sample instead of the nearest, and clips what it has changed to 0..1; here samples that
    reach beyond that, features or normalised images, keep their range.

    As with Avalanche's, a pass through the memory that is not through when a bucket ends continues in the next, over
    the memory as it was: `unfinished_memory`, where it stands at `unfinished_position`.
    """

    replay_loader: Endless | None

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        self.iter_replay: Endless | None = None
        self.unfinished_memory: ClassificationDataset | None = None
        self.unfinished_position: LoaderPosition | None = None

    def before_training_exp(self, strategy: Strategy, shuffle: bool = True, **kwargs: object) -> None:
        """Begin to draw from the memory, if there is anything in it."""
        super().before_training_exp(strategy, shuffle=shuffle, **kwargs)
        if self.replay_loader is None:
            return
        self.replay_loader = None

        def through(memory: ClassificationDataset) -> Loader:
            return passes(memory, self.batch_size_mem, strategy.device, shuffle=shuffle)

        earlier = None if self.unfinished_memory is None else through(self.unfinished_memory)
        self.iter_replay = Endless(through(self.storage_policy.buffer), earlier, self.unfinished_position)

    def before_backward(self, strategy: Strategy, **kwargs: object) -> None:
        """Add the loss of samples of the memory, each moved by what a step on the mini-batch says of another class."""
        if not len(self.storage_policy.buffer):
            return
        batch = self.get_buffer_batch()
        if not self.use_adversarial_replay:
            return
        x, y = batch[0].to(strategy.device), batch[1].to(strategy.device)
        ahead = copy.deepcopy(strategy.model)
        optimizer = torch.optim.SGD(ahead.parameters(), lr=self.opt_lr)
        strategy._criterion(ahead(strategy.mb_x), strategy.mb_y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            here = layer_features(ahead, strategy.mb_x, self.name_ext_layer)
            distances = torch.cdist(layer_features(ahead, x, self.name_ext_layer), here)
        differs = y[:, None] != strategy.mb_y
        nearest = distances.masked_fill(~differs, torch.inf).argmin(1)
        target = torch.where(differs.any(1), strategy.mb_y[nearest], 0)  # 0 is Avalanche's, if there is no other
        x.requires_grad = True
        strategy._criterion(ahead(x), target).backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        moved = self.mifgsm_attack(x, x.grad)
        strategy.loss += self.beta_coef * strategy._criterion(strategy.model(moved), y)

    def mifgsm_attack(self, input: torch.Tensor, data_grad: torch.Tensor) -> torch.Tensor:
        """`input [B, ...]`, moved by at most `epsilon_fgsm` along the signs of the gradient, within its range."""
        least, most = input.detach().min().clamp(max=0), input.detach().max().clamp(min=1)
        step, moved, direction = self.epsilon_fgsm / self.iter_fgsm, input, 0
        for _ in range(self.iter_fgsm - 1):
            direction = self.decay_factor_fgsm * direction + data_grad / torch.norm(data_grad, p=1)
            moved = torch.clamp(moved + step * torch.sign(direction), least, most)
            if torch.norm(moved - input, p=float("inf")) > self.epsilon_fgsm:
                break
        return moved

    def get_buffer_batch(self) -> TensorBatch:
        """The next batch of the memory."""
        assert self.iter_replay is not None
        return next(self.iter_replay)

    def after_training_exp(self, strategy: Strategy, **kwargs: object) -> None:
        """Take the bucket's samples into the memory."""
        if self.iter_replay is not None:
            if not self.iter_replay.in_earlier:
                self.unfinished_memory = self.storage_policy.buffer
            self.unfinished_position = self.iter_replay.position()["pass"]
            self.iter_replay = None
        super().after_training_exp(strategy, **kwargs)
