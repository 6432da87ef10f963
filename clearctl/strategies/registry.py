"""The strategies, plugins, buffers, metrics and loggers that a config may name."""

import inspect
from typing import Any

from clearctl.config.registry import Factory, Registry, parameters
from clearctl.config.settings import Call
from clearctl.strategies import traits


def _strategies() -> dict[str, Factory]:
    from avalanche.training import supervised
    from avalanche.training.templates import BaseSGDTemplate

    from clearctl.strategies.methods.batch_slda import BatchSLDA
    from clearctl.strategies.methods.der import DER
    from clearctl.strategies.methods.er_ace import ER_ACE
    from clearctl.strategies.methods.fecam import FeCAM
    from clearctl.strategies.methods.icarl import ICaRL
    from clearctl.strategies.methods.klda import KLDA
    from clearctl.strategies.methods.ncm import NCM
    from clearctl.strategies.methods.prototype import Prototype
    from clearctl.strategies.methods.ranpac import RanPAC
    from clearctl.strategies.methods.ridge import Ridge
    from clearctl.strategies.methods.streaming_lda import StreamingLDA
    from clearctl.strategies.recipes import RECIPES

    found = {name: value for name, value in vars(supervised).items() if inspect.isclass(value)}
    avalanche = {name: cls for name, cls in found.items() if issubclass(cls, BaseSGDTemplate)}
    repaired = (DER, ER_ACE, ICaRL, StreamingLDA)
    own = (Prototype, NCM, Ridge, BatchSLDA, RanPAC, KLDA, FeCAM)
    return {**avalanche, **RECIPES, **{cls.__name__: cls for cls in (*repaired, *own)}}


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

    from clearctl.strategies.watching.calibration import calibration_metrics
    from clearctl.strategies.watching.left_out import auroc_metrics

    found = {name: value for name, value in vars(metrics).items() if name.endswith("_metrics") and callable(value)}
    return {**found, "calibration_metrics": calibration_metrics, "auroc_metrics": auroc_metrics}


def _loggers() -> dict[str, Factory]:
    from clearctl.strategies.loggers.csv import CSVLogger
    from clearctl.strategies.loggers.mlflow import MLflowLogger
    from clearctl.strategies.loggers.tensorboard import TensorboardLogger
    from clearctl.strategies.loggers.text import InteractiveLogger, TextLogger
    from clearctl.strategies.loggers.wandb import WandBLogger

    own = (TextLogger, InteractiveLogger, CSVLogger, TensorboardLogger, WandBLogger, MLflowLogger)
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


STRATEGIES = Registry("strategy", _strategies, refused=traits.refusals(traits.STRATEGIES), base=_strategy_base)
PLUGINS = Registry("plugin", _plugins, refused=traits.refusals(traits.PLUGINS), base=_plugin_base)
BUFFERS = Registry("buffer", _buffers, base=_buffer_base)
METRICS = Registry("metric", _metrics, base=_metric_base)
LOGGERS = Registry("logger", _loggers, base=_logger_base)


def argument(call: Call, name: str) -> Any:
    """An argument of a strategy or a plugin: what the config gives, else the default of its class, else None."""
    if name in call.arguments:
        return call.arguments[name]
    registry = PLUGINS if ".plugins." in call.key else STRATEGIES
    accepted = parameters(registry[call.type])[0]
    return accepted[name].default if name in accepted else None
