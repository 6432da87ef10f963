"""Feature replay, with a memory whose position is known."""

from typing import Any

from avalanche.training import supervised

from clearctl.errors import ConfigError
from clearctl.strategies.loading.positions import Endless, LoaderPosition
from clearctl.strategies.loading.resumable import passes


class FeatureReplay(supervised.FeatureReplay):
    """Replay of features with masked losses (Magistri et al., ICLR 2024).

    Its loss draws from the memory, and is computed in tests too: between buckets `replay_position` remembers how far
    the tests have drawn.
    """

    replay_loader: Endless | None

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)
        self.replay_position: LoaderPosition | None = None

    def _draw_from_memory(self) -> None:
        """Continue drawing. Raises ConfigError if the memory does not fill a batch: Avalanche would wait forever."""
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
            self.replay_loader.seek(self.replay_position)

    def _before_training_exp(self, **kwargs: object) -> None:
        self._draw_from_memory()
        super()._before_training_exp(**kwargs)

    def _after_training_exp(self, **kwargs: object) -> None:
        super()._after_training_exp(**kwargs)
        self.replay_loader = self.replay_position = None

    def _before_eval(self, **kwargs: object) -> None:
        self._draw_from_memory()
        super()._before_eval(**kwargs)

    def _load_train_state(self, prev_state: dict[str, Any]) -> None:
        super()._load_train_state(prev_state)
        if self.experience is None and self.replay_loader is not None:  # a test outside of training has ended
            self.replay_position, self.replay_loader = self.replay_loader.position(), None
