"""Avalanche's BiC, made to run on today's torch."""

from collections import Counter

import torch
from avalanche.benchmarks.utils.utils import concat_datasets
from avalanche.models.bic_model import BiasLayer
from avalanche.training.plugins import BiCPlugin as AvalancheBiCPlugin
from avalanche.training.storage_policy import ExemplarsBuffer
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from clearctl.errors import ConfigError
from clearctl.strategies.methods.buffers import memory_size
from clearctl.strategies.strategy import Strategy


class BiCPlugin(AvalancheBiCPlugin):
    """Bias correction (Wu et al., CVPR 2019) over replay.

    Avalanche's correction step builds `MultiStepLR(verbose=False)`, an argument that torch has removed; the step here
    is the same without it. It divides classes into those of earlier buckets and the present one: where every bucket
    has all classes, as in CLEAR, there are no old ones to distil, and one pair (alpha, beta) scales all scores alike.
    """

    def __init__(
        self,
        mem_size: int | None = None,
        batch_size_mem: int | None = None,
        val_percentage: float = 0.1,
        T: int = 2,
        stage_2_epochs: int = 200,
        lamb: float = -1,
        lr: float = 0.1,
        buffer: ExemplarsBuffer | None = None,
    ) -> None:
        super().__init__(
            mem_size=memory_size(mem_size, buffer),
            batch_size_mem=batch_size_mem,
            storage_policy=buffer,
            val_percentage=val_percentage,
            T=T,
            stage_2_epochs=stage_2_epochs,
            lamb=lamb,
            lr=lr,
        )

    def before_train_dataset_adaptation(self, strategy: Strategy, **kwargs: object) -> None:
        """Hold samples out for the correction. Raises ConfigError if that would leave none to learn from."""
        counts = Counter(int(target) for target in strategy.experience.dataset.targets)
        held_out = min(self.get_group_lengths(len(self.seen_classes | counts.keys())))
        if max(counts.values()) <= held_out:
            raise ConfigError(
                f"BiC holds out {held_out} samples of each class (val_percentage × mem_size / classes), but a bucket"
                f" has at most {max(counts.values())}: lower cl_strategy.val_percentage or mem_size"
            )
        super().before_train_dataset_adaptation(strategy, **kwargs)

    def make_distillation_loss(self, strategy: Strategy) -> torch.Tensor:
        """The distillation loss on the scores of old classes; 0 if there are none, of which Avalanche's mean is NaN."""
        initial, previous, _ = self._classes_groups(strategy)
        if not initial and not previous:
            return strategy.loss.new_zeros(())
        return super().make_distillation_loss(strategy)

    def bias_correction_step(self, strategy: Strategy, persistent_workers: bool = False, num_workers: int = 0) -> None:
        """Stage 2: fit the bias layer, and it alone, on the samples kept for validation."""
        strategy.model.eval()
        self.bias_layer = BiasLayer(strategy.adapted_dataset.targets.uniques).to(strategy.device)
        optimizer = torch.optim.SGD(self.bias_layer.parameters(), lr=self.lr, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[50, 100, 150], gamma=0.1)
        loader = DataLoader(
            concat_datasets([kept.buffer for kept in self.val_buffer.values()]),
            batch_size=strategy.train_mb_size,
            shuffle=True,
            num_workers=num_workers,
            persistent_workers=persistent_workers,
        )
        for _ in range(self.stage_2_epochs):
            for x, y, *_ in loader:
                with torch.no_grad():
                    scores = strategy.model(x.to(strategy.device))
                loss = cross_entropy(self.bias_layer(scores), y.to(strategy.device))
                loss = loss + 0.1 * self.bias_layer.beta.sum() ** 2 / 2  # as in the authors' code
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scheduler.step()
        self.bias_layer.eval()
        self.bias_layer.requires_grad_(False)
