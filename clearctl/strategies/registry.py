"""The strategies, plugins, buffers, metrics and loggers that a config may name."""

import inspect
from typing import Any

from clearctl.config.registry import Factory, Registry, parameters
from clearctl.config.settings import Call

_GENERATOR = "it learns with a generator, a second model that no config can describe"
_OWN_MODEL = "it builds a model of its own, so the config's `model` section would be ignored"
_NCM = "it needs a model that ends in Avalanche's nearest-mean or FeCAM classifier; see the strategies Prototype, ICaRL"

REFUSED_STRATEGIES = {
    "AETraining": "it trains an autoencoder, not a classifier",
    "VAETraining": "it trains a variational autoencoder, not a classifier",
    "GenerativeReplay": _GENERATOR,
    "AR1": f"{_OWN_MODEL}: a MobileNetV1 for 128 px images",
    "LearningToPrompt": f"{_OWN_MODEL}: a prompted ViT of timm, downloaded",
    "ExpertGateStrategy": "it needs Avalanche's ExpertGate model, an AlexNet for each task with an autoencoder",
    "PNNStrategy": "it needs Avalanche's PNN model, which grows a column for each task",
    "PackNet": "it needs a PackNetModel, which keeps a mask of the weights for each task label",
    "LFL": "it needs a model with get_features(), which mmcls's have not",
    "CoPE": "it needs a model that returns L2-normalised features instead of class scores",
    "GSS_greedy": "it stores flattened inputs of a fixed `input_size` and compares a gradient for each sample: it"
    " breaks on features and is far too slow on images",
    "ER_AML": "Avalanche's waits for ever where the memory has fewer samples of a class than a training mini-batch",
    "SCR": "it needs an SCRModel with a projection head, and augmentations as an object",
    "LaMAML": "it needs a model with a learned step size for each weight, and Avalanche 0.6 does not export it",
    "OnlineNaive": "Avalanche has withdrawn it: use Naive with train_epochs=1",
    "NaiveObjectDetection": "it is for object detection; CLEAR is classification",
    "ObjectDetectionTemplate": "it is for object detection; CLEAR is classification",
}

_UNSCALED = "it differentiates a loss that is not scaled, and float16 loses its small gradients: use bf16"
_FLAT = "it flattens gradients as views, which tensors in this memory format have none of"

# {(key of the config's top level, value): {strategy or plugin that cannot go with it: why}}
REFUSED_WITH: dict[tuple[str, object], dict[str, str]] = {
    ("precision", "fp16"): {"MER": _UNSCALED, "MIR": _UNSCALED},
    ("channels_last", True): {"AGEM": _FLAT, "AGEMPlugin": _FLAT},
}

# What several processes may share a run of: each is tested to end as with one process.
SHARED_STRATEGIES = (
    "Naive",
    "Cumulative",
    "Replay",
    "GDumb",
    "EWC",
    "SynapticIntelligence",
    "LwF",
    "MAS",
    "AGEM",
    "DER",
    "ER_ACE",
)
SHARED_PLUGINS = (
    "ReplayPlugin",
    "GDumbPlugin",
    "EWCPlugin",
    "SynapticIntelligencePlugin",
    "LwFPlugin",
    "MASPlugin",
    "AGEMPlugin",
    "ExponentialMovingAverage",
    "GradientClipping",
    "RestoreBestEpoch",
    "WarmUp",
)

REFUSED_PLUGINS = {
    "LoadBestPlugin": "it is the predecessor's; here it is RestoreBestEpoch, by training loss or accuracy",
    "EvaluationPlugin": "clearctl makes it from the sections `metrics` and `loggers`",
    "LRSchedulerPlugin": "use cl_strategy.scheduler with its keys `by` and `reset`",
    "SupervisedPlugin": "it is the base class, and does nothing",
    "MIRPlugin": "it switches the reduction of a loss that only the strategy MIR has: use that",
    "CWRStarPlugin": "use the strategy CWRStar: the plugin needs the model as an object",
    "GenerativeReplayPlugin": _GENERATOR,
    "TrainGeneratorAfterExpPlugin": _GENERATOR,
    "CoPEPlugin": REFUSED_STRATEGIES["CoPE"],
    "LFLPlugin": REFUSED_STRATEGIES["LFL"],
    "FeatureDistillationPlugin": REFUSED_STRATEGIES["LFL"],
    "GSS_greedyPlugin": REFUSED_STRATEGIES["GSS_greedy"],
    **dict.fromkeys(
        (
            "CurrentDataFeCAMUpdate",
            "CurrentDataNCMUpdate",
            "FeCAMOracle",
            "MemoryFeCAMUpdate",
            "MemoryNCMUpdate",
            "NCMOracle",
        ),
        _NCM,
    ),
}


def _strategies() -> dict[str, Factory]:
    from avalanche.training import supervised
    from avalanche.training.templates import BaseSGDTemplate

    from clearctl.strategies.methods.der import DER
    from clearctl.strategies.methods.er_ace import ER_ACE
    from clearctl.strategies.methods.icarl import ICaRL
    from clearctl.strategies.methods.prototype import Prototype
    from clearctl.strategies.methods.streaming_lda import StreamingLDA
    from clearctl.strategies.recipes import RECIPES

    found = {name: value for name, value in vars(supervised).items() if inspect.isclass(value)}
    avalanche = {name: cls for name, cls in found.items() if issubclass(cls, BaseSGDTemplate)}
    own = {cls.__name__: cls for cls in (DER, ER_ACE, ICaRL, Prototype, StreamingLDA)}
    return {**avalanche, **RECIPES, **own}


def _plugins() -> dict[str, Factory]:
    from avalanche.core import BasePlugin
    from avalanche.training import plugins

    from clearctl.strategies.methods.agem import AGEMPlugin
    from clearctl.strategies.methods.bic import BiCPlugin
    from clearctl.strategies.methods.ewc import ewc_plugin
    from clearctl.strategies.methods.from_scratch import FromScratchTrainingPlugin
    from clearctl.strategies.methods.gdumb import GDumbPlugin
    from clearctl.strategies.methods.rar import RARPlugin
    from clearctl.strategies.methods.rwalk import RWalkPlugin
    from clearctl.strategies.methods.synaptic import SynapticIntelligencePlugin
    from clearctl.strategies.stepping.averaging import ExponentialMovingAverage
    from clearctl.strategies.stepping.best_epoch import RestoreBestEpoch
    from clearctl.strategies.stepping.clipping import GradientClipping
    from clearctl.strategies.stepping.warmup import WarmUp

    found = {name: value for name, value in vars(plugins).items() if inspect.isclass(value)}
    avalanche = {name: cls for name, cls in found.items() if issubclass(cls, BasePlugin)}
    fixed = (AGEMPlugin, BiCPlugin, FromScratchTrainingPlugin, GDumbPlugin, RARPlugin, RWalkPlugin)
    own = (SynapticIntelligencePlugin, ExponentialMovingAverage, GradientClipping, RestoreBestEpoch, WarmUp)
    return {**avalanche, **{cls.__name__: cls for cls in (*fixed, *own)}, "EWCPlugin": ewc_plugin}


def _buffers() -> dict[str, Factory]:
    from avalanche.training import storage_policy
    from avalanche.training.storage_policy import ParametricBuffer

    from clearctl.strategies.methods.buffers import BiasedReservoirSamplingBuffer

    def parametric(max_size: int, groupby: str | None = None) -> ParametricBuffer:
        """Avalanche's ParametricBuffer; its selection strategy is an object, and stays the random one."""
        return ParametricBuffer(max_size, groupby)

    names = ("ReservoirSamplingBuffer", "ExperienceBalancedBuffer", "ClassBalancedBuffer")
    avalanche = {name: getattr(storage_policy, name) for name in names}
    return {
        **avalanche,
        "ParametricBuffer": parametric,
        "BiasedReservoirSamplingBuffer": BiasedReservoirSamplingBuffer,
    }


def _metrics() -> dict[str, Factory]:
    from avalanche.evaluation import metrics

    return {name: value for name, value in vars(metrics).items() if name.endswith("_metrics") and callable(value)}


def _loggers() -> dict[str, Factory]:
    from clearctl.strategies.loggers.csv import CSVLogger
    from clearctl.strategies.loggers.tensorboard import TensorboardLogger
    from clearctl.strategies.loggers.text import InteractiveLogger, TextLogger
    from clearctl.strategies.loggers.wandb import WandBLogger

    own = (TextLogger, InteractiveLogger, CSVLogger, TensorboardLogger, WandBLogger)
    return {logger.__name__: logger for logger in own}


def _strategy_base() -> type:
    from avalanche.training.templates import BaseSGDTemplate

    return BaseSGDTemplate


def _plugin_base() -> type:
    from avalanche.core import BasePlugin

    return BasePlugin


def _buffer_base() -> type:
    from avalanche.training.storage_policy import ExemplarsBuffer

    return ExemplarsBuffer


def _metric_base() -> type:
    from avalanche.evaluation import PluginMetric

    return PluginMetric


def _logger_base() -> type:
    from avalanche.logging import BaseLogger

    return BaseLogger


STRATEGIES = Registry("strategy", _strategies, refused=REFUSED_STRATEGIES, base=_strategy_base)
PLUGINS = Registry("plugin", _plugins, refused=REFUSED_PLUGINS, base=_plugin_base)
BUFFERS = Registry("buffer", _buffers, base=_buffer_base)
METRICS = Registry("metric", _metrics, base=_metric_base)
LOGGERS = Registry("logger", _loggers, base=_logger_base)


def argument(call: Call, name: str) -> Any:
    """An argument of a strategy or a plugin: what the config gives, or else the default of its class."""
    if name in call.arguments:
        return call.arguments[name]
    registry = PLUGINS if ".plugins." in call.key else STRATEGIES
    return parameters(registry[call.type])[0][name].default
