"""Calls that a config describes: whatever a class raises at its arguments becomes a ConfigError naming their place."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from clearctl.config.load import Config
from clearctl.config.registry import Registry
from clearctl.errors import ClearctlError, ConfigError


def call(config: Config, key: str, registry: Registry, entry: Mapping[str, Any], /, **filled: Any) -> Any:
    """What `entry`, dict(type=name, **arguments) at `key`, describes; `filled` are arguments that clearctl gives."""
    arguments = {name: value for name, value in entry.items() if name != "type"}
    with building(config, key, entry["type"]):
        return registry[entry["type"]](**arguments, **filled)


@contextmanager
def building(config: Config, key: str, name: str) -> Iterator[None]:
    """While `name` is built: whatever it raises becomes a ConfigError at `key`, but clearctl's own errors."""
    try:
        yield
    except ClearctlError:
        raise
    except Exception as error:
        text = str(error).replace("\n", " ") or type(error).__name__
        raise fault(config, key, f"{name} refuses its arguments: {text}") from error


def fault(config: Config, key: str, message: str) -> ConfigError:
    """The error that `key` of `config` is at fault, to be raised."""
    return ConfigError(f"{config.origin(key)}: {key}: {message}")
