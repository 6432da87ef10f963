"""Classes of a user's own: `type='module:Class'`, and those that modules of `custom_imports` register.

A module that is not installed is looked for beside the config file, then beside the files that it builds on. For a run
folder's config it is looked for where that one says, which was beside the config that the run was made from; never in
the run folder itself, which somebody else may have made.
"""

import importlib.util
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from clearctl.digest import file_sha256
from clearctl.wording import in_one_line

SEPARATOR = ":"
# What begins so names a model of a library, which no module of a user's own can be called like.
LIBRARY_PREFIXES = ("timm:",)

# The modules that configs of this process have named: the objects of their classes, and of nobody else's, may be
# restored from a state.
MODULES: set[str] = set()


class OwnCodeError(Exception):
    """A module or class that a config names, and that cannot be had; the message says why."""


def is_own(name: object) -> bool:
    """Whether a `type` names a class of the user's own, `module:Class`."""
    return isinstance(name, str) and SEPARATOR in name and not name.startswith(LIBRARY_PREFIXES)


def look_beside(folder: Path) -> None:
    """Let modules that lie in `folder` be imported, after those that are installed."""
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.append(place)
        importlib.invalidate_caches()


def import_module(name: str, folders: Sequence[Path] = (), not_in: Path | None = None) -> Any:
    """The module called `name`, of which states may hold objects from now on.

    Raises OwnCodeError for one that cannot be imported, for one whose file lies in `not_in` and, where one of the
    `folders` has a module of that name, for another one that has been imported before.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise OwnCodeError(f"found {name!r}, expected the name of a module, such as 'my_code' or 'package.module'")
    if not_in is not None and (file := _file_in(not_in, name.partition(".")[0])):
        raise OwnCodeError(f"{file} lies in a run folder, from which no code is run: keep it beside your configs")
    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise OwnCodeError(f"module {name!r} cannot be imported: {_reason(name, error)}") from error
    root = name.partition(".")[0]
    found = getattr(sys.modules[root], "__file__", None)
    beside = next((file for folder in folders for file in _files_of(root, folder) if file.is_file()), None)
    if beside is not None and (found is None or Path(found).resolve() != beside.resolve()):
        raise OwnCodeError(f"{beside} is not what is imported as {root!r}, which is {found}: give it another name")
    MODULES.add(name)
    return module


def _file_in(folder: Path, root: str) -> Path | None:
    """The file that `import root` would run, if it lies in `folder`. Nothing is imported."""
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):  # one that is imported already, and says nothing of where it comes from
        return None
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    found = [Path(place).resolve() for place in places if place]
    return next((place for place in found if place.is_relative_to(folder.resolve())), None)


def folders_with(names: Sequence[str], folders: Sequence[Path]) -> list[Path]:
    """Those of the `folders` that have a module of one of the `names`."""
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
            from clearctl.config.registry import closest

            public = [found for found in vars(value) if not found.startswith("_")] if hasattr(value, "__dict__") else []
            raise OwnCodeError(f"module {module_name!r} has no {path!r}{closest(part, public)}")
        value = getattr(value, part)
    if not callable(value):
        raise OwnCodeError(f"{name!r} is a {type(value).__name__}, expected a class")
    return value


def own_types(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, `module:Class`) of each `type` below `value` that is the user's own."""
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
    """{module: sha256 of its file} of the modules that a config names, and of what they import from beside it."""
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


def _lies_in(module: Any, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return isinstance(file, str) and file.endswith(".py") and Path(file).resolve().is_relative_to(folder)


def _reason(name: str, error: BaseException) -> str:
    """What went wrong, and in which line of the user's module."""
    text = in_one_line(error)
    if isinstance(error, ModuleNotFoundError) and error.name in (name, name.partition(".")[0]):
        return "it is neither beside the config file nor installed"
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: SyntaxError: {error.msg}"
    places = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and frame.filename != __file__
    ]
    where = f"{places[-1].filename}, line {places[-1].lineno}: " if places else ""
    return f"{where}{type(error).__name__}: {text}"
