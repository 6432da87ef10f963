"""The task that all sides learn, and what each reports."""

import statistics
from dataclasses import dataclass, field
from typing import Any

BATCH = 256
LR = 0.01
MOMENTUM = 0.9

# Strategy, and its own arguments in a config. Replay's memory is as large as a bucket of CLEAR-10 (70% of 3,300).
STRATEGIES: dict[str, dict[str, Any]] = {
    "Naive": {},
    "Replay": {"mem_size": 2310},
    "LwF": {"alpha": 1.0, "temperature": 2.0},
    "EWC": {"ewc_lambda": 0.4, "mode": "separate"},
}

# The paper's grid: the name of its config, the strategy of Avalanche that does as much in a step and between buckets,
# and its arguments, whose memories are as large as the configs': a bucket of the streaming protocol. Avalanche has no
# reservoir that is learned from without resetting the model: GDumb is the nearest.
GRID: dict[str, tuple[str, dict[str, Any]]] = {
    "naive": ("Naive", {}),
    "cumulative": ("Cumulative", {}),
    "replay": ("Replay", {"mem_size": 3300}),
    "reservoir": ("GDumb", {"mem_size": 3300}),
    "biased_reservoir": ("GDumb", {"mem_size": 3300}),
    "agem": ("AGEM", {"patterns_per_exp": 3300, "sample_size": 3300}),
    "ewc": ("EWC", {"ewc_lambda": 0.4, "mode": "online", "decay_factor": 0.1}),
    "si": ("SynapticIntelligence", {"si_lambda": 1e-4}),
    "lwf": ("LwF", {"alpha": 1.0, "temperature": 2.0}),
}


@dataclass
class Times:
    """Seconds of every epoch in order, of every evaluation of the stream, and from the first start to the last end.

    `whole_cpu` is what the threads of the process have computed in `whole`. `first_epoch_at` is when the first epoch
    ended, on the clock of time.perf_counter.
    """

    epochs: list[float] = field(default_factory=list)
    evaluations: list[float] = field(default_factory=list)
    whole: float = 0.0
    whole_cpu: float = 0.0
    first_epoch_at: float = 0.0

    def epoch(self) -> float:
        """The median epoch, without the first: it touches memory and compiles what is compiled at first use."""
        return statistics.median(self.epochs[1:])

    def evaluation(self) -> float:
        """The median evaluation of the stream, without the first."""
        return statistics.median(self.evaluations[1:])
