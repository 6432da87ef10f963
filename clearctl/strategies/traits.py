"""Facts about each strategy and plugin in addition to its signature: one row each.

A strategy and its plugin share a row. Checks, builders and docs read these rows; no other module has a list of names.
"""

from collections.abc import Mapping

from clearctl.config.traits import UNKNOWN, Traits

# Arguments of any strategy or plugin that are batch sizes: with `data.batch_per_rank` they are those of each process.
BATCH_SIZES = ("train_mb_size", "eval_mb_size", "batch_size_mem", "batch_size")

_UNSCALED = "it differentiates an unscaled loss, and float16 loses its small gradients: use bf16"
_INVERTED = "the inverse of its covariance amplifies the rounding errors of half precision: use fp32"
_FLAT = "it flattens gradients as views, which this memory format does not allow"

# Not for linear discriminants (StreamingLDA, BatchSLDA, KLDA): the softmax of their scores is a posterior.
_NEARNESS = "nearness to class means"
_REGRESSIONS = "regressions onto one-hot labels"

DTYPES = ("float32", "float64")  # of the sums

_GENERATOR = "it needs a generator, a second model that a config cannot describe"
_OWN_MODEL = "it builds a model of its own, so the config's `model` section would be ignored"
_DETECTION = "it is for object detection; CLEAR is classification"
_NCM = Traits(
    refused="it needs a model that ends in Avalanche's nearest-mean or FeCAM classifier; see the strategies NCM,"
    " FeCAM, ICaRL"
)

STRATEGIES: Mapping[str, Traits] = {
    "Naive": Traits(shareable=True, stackable=True),
    "Cumulative": Traits(shareable=True, stackable=True, learns="buckets so far", balances_batches=True),
    "JointTraining": Traits(learns="stream", balances_batches=True),
    "FromScratchTraining": Traits(),
    "Replay": Traits(
        shareable=True,
        stackable=True,
        balances_memory=True,
        replaces_loader=True,
        buffer=("storage_policy", "Replay"),
    ),
    "GDumb": Traits(
        shareable=True,
        stackable=True,
        learns="memory",
        balances_batches=True,
        buffer=("buffer", "GDumb"),
    ),
    "EWC": Traits(
        shareable=True,
        stackable=True,
        acts_on_steps="within",
        choices={"mode": ("separate", "online"), "importance": ("batch", "sample")},
        decays=True,
    ),
    "SynapticIntelligence": Traits(shareable=True, stackable=True, acts_on_steps="within"),
    "LwF": Traits(shareable=True, stackable=True, one_for_each_bucket="alpha", acts_on_steps="within"),
    "MAS": Traits(shareable=True, acts_on_steps="within"),
    "MER": Traits(refused_with={("precision", "fp16"): _UNSCALED}, takes_own_steps=True),
    "MIR": Traits(
        refused_with={("precision", "fp16"): _UNSCALED},
    ),
    "AGEM": Traits(
        refused_with={("channels_last", True): _FLAT},
        shareable=True,
        stackable=True,
        samples_every_bucket=True,
        acts_on_steps="within",
        buffer=("buffer", "AGEM"),
    ),
    "GEM": Traits(acts_on_steps="within"),
    "BiC": Traits(
        splits_buckets=True,
        acts_on_steps="within",
        replaces_loader=True,
        buffer=("buffer", "BiC"),
    ),
    "DER": Traits(shareable=True, replays_whole_batches=True, sees_learned_as_tested=True),
    "ER_ACE": Traits(shareable=True, replays_whole_batches=True),
    "FeatureReplay": Traits(replays_whole_batches=True),
    "CWRStar": Traits(trained_layer="cwr_layer_name"),
    "ICaRL": Traits(balances_batches=True, scores=_NEARNESS, sees_learned_as_tested=True),
    "Prototype": Traits(scores=_NEARNESS),
    "StreamingLDA": Traits(),
    "NCM": Traits(shareable=True, sees_samples_once=True, scores=_NEARNESS),
    "Ridge": Traits(
        shareable=True,
        sees_samples_once=True,
        scores=_REGRESSIONS,
        choices={"accumulate": DTYPES},
        number_or={"ridge_lambda": ("validation",)},
    ),
    "BatchSLDA": Traits(shareable=True, sees_samples_once=True, choices={"accumulate": DTYPES}),
    "RanPAC": Traits(
        shareable=True,
        sees_samples_once=True,
        scores=_REGRESSIONS,
        head="RandomProjectionHead",
        choices={"accumulate": DTYPES},
        number_or={"ridge_lambda": ("validation",)},
    ),
    "KLDA": Traits(
        refused_with={("precision", "bf16"): _INVERTED, ("precision", "fp16"): _INVERTED},
        shareable=True,
        sees_samples_once=True,
        head="RandomFourierHead",
        choices={"accumulate": DTYPES},
    ),
    "FeCAM": Traits(
        shareable=True, sees_samples_once=True, scores=_NEARNESS, head="FeCAMHead", choices={"accumulate": DTYPES}
    ),
    "AETraining": Traits(refused="it trains an autoencoder, not a classifier"),
    "VAETraining": Traits(refused="it trains a variational autoencoder, not a classifier"),
    "GenerativeReplay": Traits(refused=_GENERATOR),
    "AR1": Traits(refused=f"{_OWN_MODEL}: a MobileNetV1 for 128 px images"),
    "LearningToPrompt": Traits(refused=f"{_OWN_MODEL}: a prompted ViT of timm, downloaded"),
    "ExpertGateStrategy": Traits(
        refused="it needs Avalanche's ExpertGate model, an AlexNet for each task with an autoencoder"
    ),
    "PNNStrategy": Traits(refused="it needs Avalanche's PNN model, which adds a column for each task"),
    "PackNet": Traits(refused="it needs a PackNetModel, which has a mask of the weights for each task label"),
    "LFL": Traits(refused="it needs a model with get_features(), which mmcls's models do not have"),
    "CoPE": Traits(refused="it needs a model that returns L2-normalised features instead of class scores"),
    "GSS_greedy": Traits(
        refused="it stores flattened inputs of a fixed `input_size` and compares a gradient for each sample: it fails"
        " on features and is far too slow on images"
    ),
    "ER_AML": Traits(refused="it never returns if the memory has fewer samples of a class than a training mini-batch"),
    "SCR": Traits(refused="it needs an SCRModel with a projection head, and augmentations as an object"),
    "LaMAML": Traits(
        refused="it needs a model with a learned step size for each weight, and Avalanche 0.6 does not export it"
    ),
    "OnlineNaive": Traits(refused="Avalanche removed it: use Naive with train_epochs=1"),
    "NaiveObjectDetection": Traits(refused=_DETECTION),
    "ObjectDetectionTemplate": Traits(refused=_DETECTION),
}

PLUGINS: Mapping[str, Traits] = {
    "ReplayPlugin": STRATEGIES["Replay"],
    "GDumbPlugin": STRATEGIES["GDumb"],
    "EWCPlugin": STRATEGIES["EWC"],
    "SynapticIntelligencePlugin": STRATEGIES["SynapticIntelligence"],
    "LwFPlugin": STRATEGIES["LwF"],
    "MASPlugin": STRATEGIES["MAS"],
    "AGEMPlugin": STRATEGIES["AGEM"],
    "GEMPlugin": STRATEGIES["GEM"],
    "BiCPlugin": STRATEGIES["BiC"],
    "FromScratchTrainingPlugin": STRATEGIES["FromScratchTraining"],
    "ExponentialMovingAverage": Traits(shareable=True, acts_on_steps="after", decides_weights=True),
    "GradientClipping": Traits(shareable=True, acts_on_steps="within"),
    "RestoreBestEpoch": Traits(
        shareable=True,
        stackable_plugin=True,
        decides_weights=True,
        choices={"metric": ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")},
    ),
    "WarmUp": Traits(shareable=True, acts_on_steps="within", steps_to_rise="steps"),
    "EarlyStoppingPlugin": Traits(
        decides_weights=True,
        watches_tests=True,
        choices={"mode": ("max", "min"), "peval_mode": ("epoch", "iteration")},
    ),
    "RARPlugin": Traits(
        acts_on_steps="within",
        replaces_loader=True,
        buffer=("storage_policy", None),
        feature_layer="name_ext_layer",
    ),
    "RWalkPlugin": Traits(acts_on_steps="within", least_steps="delta_t"),
    "LoadBestPlugin": Traits(refused="it is the predecessor's: use RestoreBestEpoch, by training loss or accuracy"),
    "EvaluationPlugin": Traits(refused="clearctl builds it from the sections `metrics` and `loggers`"),
    "LRSchedulerPlugin": Traits(refused="use cl_strategy.scheduler with its keys `by` and `reset`"),
    "SupervisedPlugin": Traits(refused="it is the base class and does nothing"),
    "MIRPlugin": Traits(refused="it changes the reduction of a loss that only the strategy MIR has: use that"),
    "CWRStarPlugin": Traits(refused="use the strategy CWRStar: the plugin needs the model as an object"),
    "GenerativeReplayPlugin": STRATEGIES["GenerativeReplay"],
    "TrainGeneratorAfterExpPlugin": STRATEGIES["GenerativeReplay"],
    "CoPEPlugin": STRATEGIES["CoPE"],
    "LFLPlugin": STRATEGIES["LFL"],
    "FeatureDistillationPlugin": STRATEGIES["LFL"],
    "GSS_greedyPlugin": STRATEGIES["GSS_greedy"],
    "CurrentDataFeCAMUpdate": _NCM,
    "CurrentDataNCMUpdate": _NCM,
    "FeCAMOracle": _NCM,
    "MemoryFeCAMUpdate": _NCM,
    "MemoryNCMUpdate": _NCM,
    "NCMOracle": _NCM,
}


def traits_of(name: object) -> Traits:
    """The traits of the strategy or plugin `name`; UNKNOWN for any other, such as a user's class."""
    if not isinstance(name, str):
        return UNKNOWN
    return STRATEGIES.get(name) or PLUGINS.get(name) or UNKNOWN


def refusals(table: Mapping[str, Traits]) -> dict[str, str]:
    """{name: reason} for those of a `table` that a config may not name."""
    return {name: row.refused for name, row in table.items() if row.refused is not None}


def shareable(table: Mapping[str, Traits]) -> tuple[str, ...]:
    """The names of those of a `table` whose runs several processes can share."""
    return tuple(name for name, row in table.items() if row.shareable)


def refused_with() -> dict[tuple[str, object], dict[str, str]]:
    """{(top-level key of the config, value): {strategy or plugin that cannot be used with it: why}}."""
    found: dict[tuple[str, object], dict[str, str]] = {}
    for name, row in {**STRATEGIES, **PLUGINS}.items():
        for setting, reason in row.refused_with.items():
            found.setdefault(setting, {})[name] = reason
    return found
