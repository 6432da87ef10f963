"""The strategies, plugins, metrics and loggers that a config may name."""

import inspect

from clearctl.config.registry import Factory, Registry

_NEEDS_MODEL = "it needs a model of a special kind, which no config can describe yet"


def _strategies() -> dict[str, Factory]:
    from avalanche.training import supervised
    from avalanche.training.templates import SupervisedTemplate

    found = {name: value for name, value in vars(supervised).items() if inspect.isclass(value)}
    return {name: cls for name, cls in found.items() if issubclass(cls, SupervisedTemplate)}


def _plugins() -> dict[str, Factory]:
    from avalanche.core import BasePlugin
    from avalanche.training import plugins

    found = {name: value for name, value in vars(plugins).items() if inspect.isclass(value)}
    return {
        name: cls for name, cls in found.items() if issubclass(cls, BasePlugin) and name not in ("EvaluationPlugin",)
    }


def _metrics() -> dict[str, Factory]:
    from avalanche.evaluation import metrics

    return {name: value for name, value in vars(metrics).items() if name.endswith("_metrics") and callable(value)}


def _loggers() -> dict[str, Factory]:
    from avalanche.logging import CSVLogger, TensorboardLogger

    from clearctl.strategies import loggers

    own = (loggers.TextLogger, loggers.InteractiveLogger, loggers.WandBLogger)
    return {cls.__name__: cls for cls in (*own, CSVLogger, TensorboardLogger)}


STRATEGIES = Registry(
    "strategy",
    _strategies,
    refused=dict.fromkeys(("PNNStrategy", "PackNet", "LFL", "CoPE", "ExpertGateStrategy", "SCR"), _NEEDS_MODEL),
)
PLUGINS = Registry("plugin", _plugins)
METRICS = Registry("metric", _metrics)
LOGGERS = Registry("logger", _loggers)
