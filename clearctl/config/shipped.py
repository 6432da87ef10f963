"""The configs that come with clearctl, found by name: `paper/ewc` is configs/paper/ewc.py."""

import ast
import difflib
import re
from itertools import takewhile
from pathlib import Path

from clearctl.errors import ConfigError
from clearctl.named_run import folder_as_config
from clearctl.nearby import nearby_file
from clearctl.regular import read_text
from clearctl.wording import any_of

# In a checkout this is a link to its folder configs.
FOLDER = Path(__file__).parents[1] / "configs"
_BASES = "_base_"  # parts of configs, which cannot be run alone
_MOST_ALIKE = 3


def find(named: Path | str) -> Path:
    """The config file at the path `named`; if there is none, the shipped config of that name.

    Raises ConfigError if it is neither: with the closest names, or for a folder with what it is.
    """
    path = Path(named)
    if path.is_file():
        return path
    known = names()
    if path.as_posix() in known:
        return FOLDER / f"{path.as_posix()}.py"
    if path.is_dir():
        raise ConfigError(folder_as_config(path))
    hint = nearby_file(path) if path.suffix else ""
    raise ConfigError(
        f"{path}: no such config file{hint or _alike(path, known)}\n"
        "expected a Python file, or the name of a shipped config: `clearctl config list` lists them"
    )


def is_config(named: Path) -> bool:
    """Whether `find` finds it."""
    return named.is_file() or named.as_posix() in names()


def names() -> list[str]:
    """The names of all shipped configs, the top-level ones first."""
    files = [file.relative_to(FOLDER).with_suffix("") for file in FOLDER.rglob("*.py")]
    runnable = [file for file in files if _BASES not in file.parts]
    return [file.as_posix() for file in sorted(runnable, key=lambda file: (len(file.parts) > 1, file))]


def describe(name: str) -> str:
    """The first sentence of a shipped config's docstring, or of its first comment."""
    text = read_text(FOLDER / f"{name}.py")
    comment = "\n".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), text.splitlines()))
    paragraph = (ast.get_docstring(ast.parse(text)) or comment).partition("\n\n")[0]
    return re.split(r"(?<=\.)\s", " ".join(paragraph.split()), maxsplit=1)[0]


def _alike(path: Path, known: list[str]) -> str:
    """`; did you mean 'a' or 'b'?` of the shipped configs with the most similar names, or an empty string."""
    meant = path.as_posix().removeprefix("configs/").removesuffix(".py")
    found = [name for name in known if name == meant or name.rpartition("/")[2] == meant]
    found = found or difflib.get_close_matches(meant, known, n=_MOST_ALIKE, cutoff=0.6)
    return f"; did you mean {any_of([repr(name) for name in found[:_MOST_ALIKE]])}?" if found else ""
