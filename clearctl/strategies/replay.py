"""Avalanche's strategies that draw from a memory without end, by iterators of which is known where they stand.

Theirs are generators, which nobody can look into. Here they are made when a bucket begins, read in this process, and
gone when it ends; samples and random numbers are those of Avalanche's, without worker processes, to the bit.
"""

import copy
from typing import Any

import torch
from avalanche.benchmarks.utils import concat_datasets
from avalanche.benchmarks.utils.data_loader import SingleDatasetDataLoader
from avalanche.training import supervised
from avalanche.training.plugins import MIRPlugin as AvalancheMIRPlugin
from avalanche.training.plugins import RARPlugin as AvalancheRARPlugin
from avalanche.training.plugins import SupervisedPlugin

from clearctl.errors import ConfigError
from clearctl.strategies.gather import collating, positioned
from clearctl.strategies.head import layer_features
from clearctl.strategies.positions import Endless, Position
from clearctl.strategies.prefetch import prefetched


def passes(
    dataset: Any, batch_size: int, device: torch.device, *, shuffle: bool = True, drop_last: bool = False
) -> Any:
    """A loader of a dataset's batches, once through, with the draws of torch's DataLoader and a position."""
    loader = SingleDatasetDataLoader(dataset, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last)
    return positioned(loader, device)


class DER(supervised.DER):
    """Dark experience replay (Buzzega et al., NeurIPS 2020)."""

    replay_loader: Any

    def _before_training_exp(self, **kwargs: Any) -> None:
        super()._before_training_exp(**kwargs)
        if self.replay_loader is not None:
            memory = self.storage_policy.buffer
            self.replay_loader = Endless(passes(memory, self.batch_size_mem, self.device, drop_last=True))


class ER_ACE(supervised.ER_ACE):
    """Experience replay with asymmetric cross-entropy (Caccia et al., ICLR 2022)."""

    replay_loader: Any

    def _before_training_exp(self, **kwargs: Any) -> None:
        super()._before_training_exp(**kwargs)
        if self.replay_loader is not None:
            memory = self.storage_policy.buffer
            self.replay_loader = Endless(passes(memory, self.batch_size_mem, self.device, drop_last=True))


class MIRPlugin(AvalancheMIRPlugin):
    """Maximally interfered retrieval (Aljundi et al., NeurIPS 2019).

    Avalanche leaves out of a bucket's replay the classes of the last mini-batch of the bucket before: `left_out`.
    """

    replay_loader: Any

    def __init__(self, batch_size_mem: int, mem_size: int = 200, subsample: int = 200) -> None:
        super().__init__(batch_size_mem, mem_size, subsample)
        self.left_out: list[int] = []
        self.latest_labels: torch.Tensor | None = None

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Begin to draw from the memory, if there is enough in it."""
        groups = self.storage_policy.buffer_groups
        memory = concat_datasets([kept.buffer for key, kept in groups.items() if int(key) not in self.left_out])
        if len(memory) > self.batch_size_mem:
            self.replay_loader = Endless(passes(memory, self.subsample, strategy.device))

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        """Keep the labels: a run that goes on after the last step of a bucket has no mini-batch."""
        self.latest_labels = strategy.mb_y

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the bucket's samples into the memory."""
        self.storage_policy.update(strategy, **kwargs)
        self.replay_loader = None
        assert self.latest_labels is not None
        self.left_out, self.latest_labels = sorted(set(self.latest_labels.tolist())), None


class MIR(supervised.MIR):
    """Maximally interfered retrieval (Aljundi et al., NeurIPS 2019). Its plugin is the one above."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        place, theirs = next((n, p) for n, p in enumerate(self.plugins) if type(p) is AvalancheMIRPlugin)
        self.plugins[place] = MIRPlugin(theirs.batch_size_mem, theirs.mem_size, theirs.subsample)


class FeatureReplay(supervised.FeatureReplay):
    """Replay of features with masked losses (Magistri et al., ICLR 2024).

    Its loss draws from the memory, and is worked out in tests too: between buckets `replay_position` remembers how far
    the tests have drawn.
    """

    replay_loader: Any

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.replay_position: Position | None = None

    def _draw_from_memory(self) -> None:
        """Go on drawing. Raises ConfigError where the memory does not fill a batch: Avalanche would wait for ever."""
        memory = self.storage_policy.buffer
        if self.replay_loader is not None or not len(memory):
            return
        if len(memory) < self.batch_size_mem:
            raise ConfigError(
                f"FeatureReplay replays batches of {self.batch_size_mem}, but its memory has {len(memory)} samples:"
                " lower cl_strategy.batch_size_mem or raise mem_size"
            )
        self.replay_loader = Endless(passes(memory, self.batch_size_mem, self.device, drop_last=True))
        if self.replay_position is not None:
            self.replay_loader.go_to(self.replay_position)

    def _before_training_exp(self, **kwargs: Any) -> None:
        self._draw_from_memory()
        super()._before_training_exp(**kwargs)

    def _after_training_exp(self, **kwargs: Any) -> None:
        super()._after_training_exp(**kwargs)
        self.replay_loader = self.replay_position = None

    def _before_eval(self, **kwargs: Any) -> None:
        self._draw_from_memory()
        super()._before_eval(**kwargs)

    def _load_train_state(self, prev_state: Any) -> None:
        super()._load_train_state(prev_state)
        if self.experience is None and self.replay_loader is not None:  # a test that is no part of training has ended
            self.replay_position, self.replay_loader = self.replay_loader.position(), None


class RARPlugin(AvalancheRARPlugin):
    """Retrospective adversarial replay (Kumari et al., NeurIPS 2022).

    Features, by which a sample of the memory finds the nearest of another class in the mini-batch, are what the last
    layer takes, or what the layer `name_ext_layer` gives. Avalanche's cuts the network by torch.fx, which cannot trace
    mmcls's, takes the farthest sample instead of the nearest, and clips what it has changed to 0..1; here samples that
    reach beyond that, features or normalised images, keep their range.

    As with Avalanche's, a pass through the memory that is not through when a bucket ends goes on in the next, over the
    memory as it was: `unfinished_memory`, where it stands at `unfinished_position`.
    """

    replay_loader: Any

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.iter_replay: Endless | None = None
        self.unfinished_memory: Any = None
        self.unfinished_position: Position | None = None

    def before_training_exp(self, strategy: Any, shuffle: bool = True, **kwargs: Any) -> None:
        """Begin to draw from the memory, if there is anything in it."""
        super().before_training_exp(strategy, shuffle=shuffle, **kwargs)
        if self.replay_loader is None:
            return
        self.replay_loader = None
        earlier, loader = (
            None if memory is None else passes(memory, self.batch_size_mem, strategy.device, shuffle=shuffle)
            for memory in (self.unfinished_memory, self.storage_policy.buffer)
        )
        self.iter_replay = Endless(loader, earlier, self.unfinished_position)

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        """Add the loss of samples of the memory, each moved by what a step on the mini-batch says of another class."""
        if not len(self.storage_policy.buffer):
            return
        batch = self.get_buffer_batch()
        if not self.use_adversarial_replay:
            return
        x, y = batch[0].to(strategy.device), batch[1].to(strategy.device)
        ahead = copy.deepcopy(strategy.model)
        optimizer = torch.optim.SGD(ahead.parameters(), lr=self.opt_lr)
        strategy._criterion(ahead(strategy.mb_x), strategy.mb_y).backward()
        optimizer.step()
        with torch.no_grad():
            here = layer_features(ahead, strategy.mb_x, self.name_ext_layer)
            distances = torch.cdist(layer_features(ahead, x, self.name_ext_layer), here)
        differs = y[:, None] != strategy.mb_y
        nearest = distances.masked_fill(~differs, torch.inf).argmin(1)
        target = torch.where(differs.any(1), strategy.mb_y[nearest], 0)  # 0 is Avalanche's, where there is no other
        x.requires_grad = True
        strategy._criterion(ahead(x), target).backward()
        moved = self.mifgsm_attack(x, x.grad)
        strategy.loss += self.beta_coef * strategy._criterion(strategy.model(moved), y)

    def mifgsm_attack(self, input: Any, data_grad: Any) -> Any:
        """`input [B, ...]`, moved by at most `epsilon_fgsm` along the signs of the gradient, within its range."""
        least, most = input.detach().min().clamp(max=0), input.detach().max().clamp(min=1)
        step, moved, direction = self.epsilon_fgsm / self.iter_fgsm, input, 0
        for _ in range(self.iter_fgsm - 1):
            direction = self.decay_factor_fgsm * direction + data_grad / torch.norm(data_grad, p=1)
            moved = torch.clamp(moved + step * torch.sign(direction), least, most)
            if torch.norm(moved - input, p=float("inf")) > self.epsilon_fgsm:
                break
        return moved

    def get_buffer_batch(self) -> Any:
        """The next batch of the memory."""
        assert self.iter_replay is not None
        return next(self.iter_replay)

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        """Take the bucket's samples into the memory."""
        if self.iter_replay is not None:
            if not self.iter_replay.in_earlier:
                self.unfinished_memory = self.storage_policy.buffer
            self.unfinished_position = self.iter_replay.position()["pass"]
            self.iter_replay = None
        super().after_training_exp(strategy, **kwargs)


class KnownPosition(SupervisedPlugin):
    """The last plugin that touches a loader, on every device, so that states of all devices have the same plugins.

    The loader that is learned from gets a position, where no worker processes fill it and none gathers. On a GPU both
    loaders copy the next batch while one is used (`prefetched`).
    """

    def before_training_epoch(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        """The loader that is learned from."""
        strategy.dataloader = prefetched(collating(strategy.dataloader), strategy.device, num_workers)

    def before_eval_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        """The loader that is tested with."""
        strategy.dataloader = prefetched(strategy.dataloader, strategy.device, num_workers)
