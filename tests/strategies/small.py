"""Every strategy, small enough for the stream of `blobs`: what tests of all strategies are made of.

`test_strategies` checks that the tables are complete: against the folder of base configs, and against the registry.
"""

from typing import Any

from blobs import BASES, CLASSES, DIM

from clearctl.config.load import load


def head(kind: str, **arguments: Any) -> dict[str, Any]:
    """The section `model` with a head of another kind, for the features of `blobs`."""
    return dict(head=dict(type=kind, num_classes=CLASSES, in_channels=DIM, **arguments))


# {name of a base config that names a strategy: that strategy}
TYPES: dict[str, str] = {
    file.stem: section["type"]
    for file in sorted(BASES.glob("*.py"))
    if "type" in (section := load(file).values.get("cl_strategy", {}))
}

# {base config: what makes it small}
SMALL: dict[str, dict[str, Any]] = {
    "naive": {"optimizer": {"lr": 0.5}},
    "finetune": {"optimizer": {"lr": 0.5}},
    "cumulative": {},
    "joint_training": {},
    "from_scratch_training": {},
    "replay": {"mem_size": 12},
    "biased_replay": {"buffer": {"max_size": 12}},
    "gdumb": {"mem_size": 12},
    "reservoir": {"buffer": {"max_size": 12}},
    "biased_reservoir": {"buffer": {"max_size": 12}},
    "agem": {"patterns_per_exp": 4, "sample_size": 6},
    "agem_reservoir": {"patterns_per_exp": 10, "sample_size": 6},
    "gem": {"patterns_per_exp": 5},
    "ewc": {},
    "ewc_online": {},
    "synaptic_intelligence": {},
    "synaptic_intelligence_uncapped": {},
    "lwf": {},
    "mas": {},
    "cwr_star": {},
    "bic": {"mem_size": 30, "stage_2_epochs": 3},
    "icarl": {"memory_size": 14},
    "der": {"mem_size": 12},
    "er_ace": {"mem_size": 12, "batch_size_mem": 4},
    "streaming_lda": {},
    "prototype": {},
    "ncm": {},
    "ridge": {"lambdas": [0.01, 0.1, 1.0, 10.0]},
    "batch_slda": {},
    "ranpac": {"model": head("RandomProjectionHead", projection_dim=40)},
    "klda": {"model": head("RandomFourierHead", projection_dim=40, gamma=0.1)},
    "fecam": {"model": head("FeCAMHead", tukey=1.0)},
}

# Strategies that have no base config, by name, and those with other loaders.
OTHERS: dict[str, dict[str, Any]] = {
    "MER": {"mem_size": 20, "batch_size_mem": 4},
    "MIR": {"mem_size": 20, "subsample": 10, "batch_size_mem": 4, "loss": None},
    "FeatureReplay": {"mem_size": 20, "batch_size_mem": 4},
    "balanced replay": {"type": "Replay", "mem_size": 12, "task_balanced_dataloader": True},
    "RAR": {
        "type": "Naive",
        "plugins": [{"type": "RARPlugin", "batch_size_mem": 5, "mem_size": 17, "use_adversarial_replay": False}],
    },
}


def strategy_of(name: str) -> tuple[str, dict[str, Any]]:
    """(base config, arguments) of a strategy of either kind."""
    if name in SMALL:
        return name, SMALL[name]
    return "naive", {"type": name, "optimizer": {"lr": 0.1}, **OTHERS[name]}
