"""User-defined classes: `type='module:Class'`, and those that modules of `custom_imports` register.

A module that is not installed is searched for next to the config file, then next to its bases. For a run folder's
config it is searched for where that config says, which is next to the config that the run was made from; never in the
run folder itself, which is untrusted.
"""

import importlib.util
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

from clearctl.digest import file_sha256
from clearctl.nearby import closest
from clearctl.wording import in_one_line

SEPARATOR = ":"
# Prefixes of a library's models; a user's module cannot have these names.
LIBRARY_PREFIXES = ("timm:",)

# The modules that configs of this process have named: only objects of their classes may be restored from a state.
MODULES: set[str] = set()


class OwnCodeError(Exception):
    """A module or class named in a config cannot be imported; the message says why."""


def is_own(name: object) -> bool:
    """Whether a `type` names a user-defined class, `module:Class`."""
    return isinstance(name, str) and SEPARATOR in name and not name.startswith(LIBRARY_PREFIXES)


def add_import_folder(folder: Path) -> None:
    """Make the modules in `folder` importable, after the installed ones."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)
        importlib.invalidate_caches()


def import_module(name: str, folders: Sequence[Path] = (), not_in: Path | None = None) -> Any:
    """Import the module `name`; states may contain objects of its classes from now on.

    Raises OwnCodeError for one that cannot be imported, for one whose file is in `not_in` and, where one of the
    `folders` has a module of that name, for another one that has been imported before.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise OwnCodeError(f"found {name!r}, expected the name of a module, such as 'my_code' or 'package.module'")
    if not_in is not None and (file := _file_in(not_in, name.partition(".")[0])):
        raise OwnCodeError(f"{file} is in a run folder, from which no code is run: move it next to your configs")
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise OwnCodeError(f"module {name!r} cannot be imported: {_reason(name, error)}") from error
    root = name.partition(".")[0]
    found = getattr(sys.modules[root], "__file__", None)
    beside = next((file for folder in folders for file in _files_of(root, folder) if file.is_file()), None)
    if beside is not None and (found is None or Path(found).resolve() != beside.resolve()):
        raise OwnCodeError(f"{beside} is hidden by another module {root!r}, {found}: rename yours")
    MODULES.add(name)
    return module


def _file_in(folder: Path, root: str) -> Path | None:
    """The file that `import root` would run, if it is in `folder`. Nothing is imported."""
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # an imported module without a spec
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    found = [Path(place).resolve() for place in places if place]
    return next((place for place in found if place.is_relative_to(folder.resolve())), None)


def folders_with(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """The `folders` that contain a module with one of the `names`."""
    roots = {name.partition(".")[0] for name in names}
    return [folder for folder in folders if any(file.is_file() for root in roots for file in _files_of(root, folder))]


def _files_of(root: str, folder: Path) -> tuple[Path, ...]:
    return folder / f"{root}.py", folder / root / "__init__.py"


def find(name: str) -> Any:
    """The class, or function, that `module:Class` names. Raises OwnCodeError."""
    module_name, _, path = name.partition(SEPARATOR)
    value = import_module(module_name)
    for part in path.split("."):
        if not hasattr(value, part):
            public = [found for found in vars(value) if not found.startswith("_")] if hasattr(value, "__dict__") else []
            raise OwnCodeError(f"module {module_name!r} has no {path!r}{closest(part, public)}")
        value = getattr(value, part)
    if not callable(value):
        raise OwnCodeError(f"{name!r} is a {type(value).__name__}, expected a class")
    return value


def own_types(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, `module:Class`) of each `type` below `value` that is user-defined."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, child in items:
        place = f"{key}.{name}" if key else str(name)
        if name == "type" and is_own(child):
            yield place, child
        yield from own_types(child, place)


def named_modules(values: Mapping[str, Any]) -> list[str]:
    """The modules that a config names, each once: those of `custom_imports`, then those of its types."""
    given = (values.get("custom_imports") or {}).get("imports") or []
    imports = [given] if isinstance(given, str) else list(given)
    return list(dict.fromkeys([*imports, *(name.partition(SEPARATOR)[0] for _, name in own_types(values))]))


def code_digests(values: Mapping[str, Any]) -> dict[str, str]:
    """{module: sha256 of its file} of the modules in a config, and of those that they import from the same folder."""
    names = named_modules(values)
    for folder in (values.get("custom_imports") or {}).get("folders") or []:
        place = Path(folder).resolve()
        names += [name for name, module in list(sys.modules.items()) if _lies_in(module, place)]
    found = {}
    for name in sorted(set(names)):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is not None and Path(file).is_file():
            found[name] = file_sha256(Path(file))
    return found


def is_named(module: str) -> bool:
    """Whether a config has named `module`."""
    return module in MODULES


def place_in_own_code(error: BaseException) -> str | None:
    """`file, line N` of the innermost call in a module that a config named, from where `error` was raised.

    Of a function there that was called with other arguments than it takes, the place where it is defined.
    """
    files = {getattr(sys.modules.get(name), "__file__", None) for name in MODULES}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else _definition(error)


def _definition(error: BaseException) -> str | None:
    """`file, line N` of a function of the user that a TypeError names: `MyPlugin.before_training() got an ...`."""
    named = re.match(r"([\w.]+)\(\) (?:got|takes|missing) ", str(error)) if isinstance(error, TypeError) else None
    if named is None:
        return None
    for module in MODULES:
        with suppress(AttributeError):
            code = attrgetter(named[1])(sys.modules[module]).__code__
            return f"{code.co_filename}, line {code.co_firstlineno}"
    return None


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(".py") and Path(file).resolve().is_relative_to(folder)


def _reason(name: str, error: BaseException) -> str:
    """The error, and the line of the user's module that raised it."""
    text = in_one_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name in (name, name.partition(".")[0]):
        if name.endswith(".py"):
            return f"give the name of the module, {name.removesuffix('.py')!r}"
        return "it is not installed, and not next to the config file"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: SyntaxError: {error.msg}"
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = f"{places[-1].filename}, line {places[-1].lineno}: " if places else ""
    return f"{where}{type(error).__name__}: {text}"
