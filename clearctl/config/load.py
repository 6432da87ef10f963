"""Read a config in mmcv's dialect and apply `--set` overrides. The only user of mmcv.Config.

A config is a Python file and is run as such; the config of a run folder, which is untrusted, is parsed as literals. So
are `--set` values.
"""

import ast
import contextlib
import math
import pprint
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any

from clearctl.config import shipped
from clearctl.config.base_variables import require_alone
from clearctl.config.words import read_literal
from clearctl.errors import ConfigError
from clearctl.mmcv_needed import needing_mmcv
from clearctl.nearby import nearby_file
from clearctl.regular import read_text

SET_ORIGIN = "--set"


@dataclass(frozen=True)
class Config:
    """A merged config: `values` are plain dicts, lists and literals; `origins` {key path: the file it came from}.

    `of_run`: it is the config of an existing run, perhaps of an earlier version. `notices` are
    lines on what the config would have meant in the predecessor (`dialect`).
    """

    values: dict[str, Any]
    file: str
    origins: Mapping[str, str] = field(default_factory=dict)
    of_run: bool = False
    notices: tuple[str, ...] = ()

    def origin(self, key: str) -> str:
        """The file (or `--set`) that the value at the dotted `key`, or the nearest one above it, came from.

        The origin of a section is that of its `type`, or else of its first value.
        """
        while key:
            below = [name for name in self.origins if name.startswith(f"{key}.")]
            for name in (key, f"{key}.type", *below[:1]):
                if name in self.origins:
                    return self.origins[name]
            key = key.rpartition(".")[0]
        return self.file


def load(file: Path | str, overrides: Sequence[str] = ()) -> Config:
    """The merged config of `file`, with `overrides` ("key.path=value") applied in order.

    `file` may be the name of a shipped config (`shipped.find`). Raises ConfigError for a file that is missing or raises
    while it is read, and for an override that cannot be applied, and CapabilityError if mmcv is missing.
    """
    path = shipped.find(file)
    _check_base_variables(path)
    values = _plain(_read(path))
    for key, value in flatten(values):
        if not _is_literal(value):
            raise ConfigError(f"{path}: {key}: found {value!r:.200}, expected a number, string, list or dict")
    return _overridden(values, str(path), _origins(path, values), overrides)


def of_run(values: dict[str, Any], file: Path, overrides: Sequence[str] = ()) -> Config:
    """The config of a run folder: the literals `values` of its `file` (`rundir.read_config`); no code is run.

    `overrides` are applied as `load` does. Raises ConfigError for one that cannot be applied.
    """
    origins = {key: str(file) for key, _ in flatten(values)}
    return replace(_overridden(values, str(file), origins, overrides), of_run=True)


def dump(values: Mapping[str, Any]) -> str:
    """Python source that, read as a config, gives `values` back."""
    source = _SourcePrinter(width=110, sort_dicts=False)
    parts = [f"{key} = {source.pformat(value)}" for key, value in values.items()]
    return "\n".join(parts) + "\n"


class _SourcePrinter(pprint.PrettyPrinter):
    """Writes infinities and NaN, whose repr is not valid Python, as calls of float."""

    def format(self, object: Any, context: dict[int, int], maxlevels: int, level: int) -> tuple[str, bool, bool]:
        if isinstance(object, float) and not math.isfinite(object):
            return f"float('{object}')", True, False
        return super().format(object, context, maxlevels, level)


def flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) for every leaf of nested dicts and lists; an empty one is a leaf itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    children = list(items)
    if not children:
        yield key, value
    for name, child in children:
        yield from flatten(child, f"{key}.{name}" if key else str(name))


def _check_base_variables(path: Path) -> None:
    tree = _parsed(path)
    if tree is not None:
        require_alone(path, tree)
    for base in bases(path):
        _check_base_variables(base)


def _overridden(values: dict[str, Any], file: str, origins: dict[str, str], overrides: Sequence[str]) -> Config:
    for override in overrides:
        _apply(values, origins, override)
    return Config(values, file, origins)


def _read(path: Path) -> dict[str, Any]:
    with needing_mmcv():
        from mmcv import Config as MmcvConfig

    search_path = list(sys.path)
    try:
        values = dict(MmcvConfig.fromfile(str(path), import_custom_modules=False)._cfg_dict)
        return {name: value for name, value in values.items() if not _is_imported(value)}
    except (Exception, SystemExit) as error:
        _close_temporaries(error)
        raise ConfigError(_reading_fault(path, error)) from error
    finally:
        sys.path[:] = search_path  # mmcv leaves its temporary folder there when a config raises


def _is_imported(value: Any) -> bool:
    """Whether a value was imported or defined by the file: a class, a function, a registry."""
    return callable(value) or type(value).__module__ == "mmcv.utils.registry"


def _close_temporaries(error: BaseException) -> None:
    """Close the temporary file that mmcv leaves open when a config raises; Python would warn about it at exit."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if "temp_config_file" in frame.f_locals:
            with contextlib.suppress(OSError):
                frame.f_locals["temp_config_file"].close()


def _reading_fault(path: Path, error: BaseException) -> str:
    """One line for an exception raised inside a config: the file (perhaps a base), its line, the error."""
    file, line = str(path), None
    files = [file]
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_file2dict":
            file = _relative(frame.f_locals["filename"])
            files.append(file)
        elif frame.f_code.co_name == "<module>" and "site-packages" not in frame.f_code.co_filename:
            line = number
    if isinstance(error, SyntaxError):
        line = error.lineno or (error.__context__.lineno if isinstance(error.__context__, SyntaxError) else None)
    if isinstance(error, FileNotFoundError) and line is None:
        named_by = files[-2] if len(files) > 3 else str(path)  # the file whose _base_ it is in
        hint = nearby_file(Path(file), seen_from=Path(named_by).parent, but=[Path(named_by)])
        return f"{named_by}: a file named in _base_ is missing: {file}{hint}"
    where = f"{file}, line {line}" if line else file
    text = str(error).replace("\n", " ")
    if isinstance(error, SyntaxError):
        text = (error.__context__ or error).args[0]
    return f"{where}: raises {type(error).__name__}: {text}"


def _relative(file: str) -> str:
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except ValueError:
        return file


def _plain(value: Any) -> Any:
    """`value` with mmcv's and numpy's types replaced by Python's, so that it can be dumped as source."""
    if isinstance(value, dict):
        # mmcv keeps _delete_ if there was nothing to delete
        return {str(key): _plain(child) for key, child in value.items() if key != "_delete_"}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    if isinstance(value, tuple):
        return tuple(_plain(child) for child in value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int | float) else value.name
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


def _is_literal(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_literal(child) for child in value)
    return value is None or isinstance(value, bool | int | float | str | dict | list)


def _origins(path: Path, values: dict[str, Any]) -> dict[str, str]:
    """For each leaf, the deepest base file that already gives it this value; `path` itself if none does.

    A list comes from one file: a config that changes a list of its base gives the whole list.
    """
    origins = {key: str(path) for key, _ in flatten(values)}
    for base in bases(path):
        base_values = _plain(_read(base))
        base_origins = _origins(base, base_values)
        for key in _shared(values, base_values):
            origins[key] = base_origins[key]
    return origins


def _shared(value: Any, base: Any, key: str = "") -> Iterator[str]:
    """The dotted keys of the leaves that `value` has from `base`."""
    if isinstance(value, dict) and value and isinstance(base, dict):
        for name in value:
            if name in base:
                yield from _shared(value[name], base[name], f"{key}.{name}" if key else str(name))
    elif value == base:
        yield from (name for name, _ in flatten(value, key))


def _parsed(path: Path) -> ast.Module | None:
    """The parsed source of a config; None for a missing or invalid file, for which mmcv's error is better."""
    try:
        return ast.parse(read_text(path))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def bases(path: Path) -> list[Path]:
    """The files named by a literal `_base_` at the top level of `path`; none if it is computed, or not Python."""
    tree = _parsed(path)
    for node in tree.body if tree is not None else ():
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["_base_"]:
            try:
                named = ast.literal_eval(node.value)
            except ValueError:
                return []
            listed = named if isinstance(named, list | tuple) else [named]
            if not all(isinstance(name, str) and name for name in listed):
                text = "expected the path of a config, or a list of paths"
                raise ConfigError(f"{path}, line {node.lineno}: _base_: found {named!r:.200}, {text}")
            return [path.parent / name for name in listed]
    return []


def _apply(values: dict[str, Any], origins: dict[str, str], override: str) -> None:
    key, separator, text = override.partition("=")
    key = key.strip()
    if not separator or not all(key.split(".")):
        raise ConfigError(f"--set {override}: expected KEY=VALUE, such as cl_strategy.train_epochs=1")
    value = read_literal(text)
    *above, last = key.split(".")
    place: Any = values
    for depth, name in enumerate(above):
        if isinstance(place, dict):
            place = place.setdefault(name, {})
        else:
            place = place[_index(place, name, ".".join(above[:depth]), override)]
        if not isinstance(place, dict | list):
            at = ".".join(above[: depth + 1])
            raise ConfigError(f"--set {override}: {at} is {place!r}, which has no keys")
    if isinstance(place, dict):
        place[last] = value
    else:
        place[_index(place, last, ".".join(above), override)] = value
    for old in [name for name in origins if name == key or name.startswith(f"{key}.")]:
        del origins[old]
    origins.update({name: SET_ORIGIN for name, _ in flatten(value, key)})


def _index(place: list[Any], name: str, at: str, override: str) -> int:
    if not name.isdecimal() or int(name) >= len(place):
        raise ConfigError(
            f"--set {override}: {at} is a list of {len(place)}: expected an index 0 to {len(place) - 1}, found {name!r}"
        )
    return int(name)
