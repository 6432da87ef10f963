"""What the docs name of the code is where they say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md", ROOT / "README.md"]
PACKAGES = "cli|config|data|engine|models|report|strategies|sweep"  # demo/ and dataset/ are folders of data, too
MODULE = re.compile(rf"(?<![\w/.])(?:clearctl/)?((?:{PACKAGES})/[a-z_/]+)")
TEST = re.compile(r"(?<![\w/])(?:tests|benchmarks)/[\w/]+\.py")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_modules_are_there(page: Path) -> None:
    text = page.read_text()
    names = [match[1].rstrip("/") for match in MODULE.finditer(text)]
    missing = [name for name in names if not _is_there(ROOT / "clearctl" / name)]
    missing += [name for name in TEST.findall(text) if not (ROOT / name).is_file()]
    assert not missing


def _is_there(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file()
