"""Build the objects of a config: an exception of a constructor becomes a ConfigError that names the place."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clearctl.config.enums import with_members
from clearctl.config.own import is_own
from clearctl.config.registry import Registry, article
from clearctl.config.settings import Call
from clearctl.errors import ClearctlError, ConfigError


def build(call: Call, registry: Registry, /, **filled: Any) -> Any:
    """Build the object that `call` describes; `filled` are arguments that clearctl gives."""
    with building(call.type, call.error):
        factory = registry[call.type]
        built = factory(**with_members(factory, dict(call.arguments)), **filled)
    if is_own(call.type) and registry.base is not None:
        base = registry.base()
        for each in built if isinstance(built, list | tuple) else [built]:
            if not isinstance(each, base):
                found = f"{call.type} makes {article(type(each).__name__)}"
                raise call.error(
                    f"{found}, expected {article(registry.kind)}: an object of a subclass of {base.__name__}"
                )
    return built


@contextmanager
def building(name: str, error_of: Callable[[str], ConfigError]) -> Iterator[None]:
    """While `name` is built: whatever it raises becomes a ConfigError of `error_of`, but clearctl's own errors."""
    try:
        yield
    except ClearctlError:
        raise
    except (Exception, SystemExit) as error:
        text = str(error).replace("\n", " ") or type(error).__name__
        raise error_of(f"{name} rejects its arguments: {text}") from error
