"""Dark experience replay, with a memory whose position is known."""

from avalanche.training import supervised

from clearctl.strategies.loading.positions import Endless
from clearctl.strategies.loading.resumable import passes


class DER(supervised.DER):
    """Dark experience replay (Buzzega et al., NeurIPS 2020)."""

    replay_loader: Endless | None

    def _before_training_exp(self, **kwargs: object) -> None:
        super()._before_training_exp(**kwargs)
        if self.replay_loader is not None:
            memory = self.storage_policy.buffer
            self.replay_loader = Endless(passes(memory, self.batch_size_mem, self.device, drop_last=True))
