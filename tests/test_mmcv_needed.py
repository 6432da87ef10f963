"""Where mmcv is missing, of another version, or cannot be loaded: two lines with the way out, wherever it is needed."""

import ast
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

import clearctl
from clearctl import mmcv_needed
from clearctl.config.load import load
from clearctl.errors import CapabilityError
from clearctl.mmcv_needed import needing_mmcv

PACKAGE = Path(clearctl.__file__).parent


def not_installed(name):
    raise PackageNotFoundError(name)


def test_reading_a_config_without_mmcv(monkeypatch, tmp_path):
    (tmp_path / "x.py").write_text("a = 1\n")
    monkeypatch.setitem(sys.modules, "mmcv", None)
    monkeypatch.setattr(mmcv_needed, "version", not_installed)
    with pytest.raises(CapabilityError, match=r"mmcv is not installed.*\nrun `clearctl doctor --fix`"):
        load(tmp_path / "x.py")


def test_another_version(monkeypatch):
    monkeypatch.setattr(mmcv_needed, "version", lambda name: "2.1.0")
    with pytest.raises(CapabilityError, match=r"mmcv 2\.1\.0 is installed, expected 1\.7\.2"), needing_mmcv():
        from mmcv import NoSuchName  # noqa: F401 as Config in mmcv 2
    with pytest.raises(CapabilityError, match="clearctl doctor --fix"), needing_mmcv():
        raise AssertionError("MMCV==2.1.0 is used but incompatible")  # as mmcls raises it


def test_a_library_of_the_system_that_opencv_lacks():
    with pytest.raises(CapabilityError, match=r"OpenCV.*libGL\.so\.1.*\n.*apt install libgl1"), needing_mmcv():
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")


def test_other_errors_pass():
    with pytest.raises(ImportError, match="NoSuchName"), needing_mmcv():
        from mmcv import NoSuchName  # noqa: F401


def imports_of_mmcv(node: ast.AST, guarded: bool = False) -> list[tuple[int, bool]]:
    """(line, whether within `needing_mmcv`) of each import of mmcv or mmcls."""
    if isinstance(node, ast.With):
        guarded = guarded or any("needing_mmcv" in ast.unparse(item.context_expr) for item in node.items)
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    found = [(node.lineno, guarded) for name in names if name.partition(".")[0] in ("mmcv", "mmcls")]
    return found + [line for child in ast.iter_child_nodes(node) for line in imports_of_mmcv(child, guarded)]


def test_every_import_of_it_says_so():
    files = sorted(PACKAGE.rglob("*.py"))
    lines = {
        f"{file}:{line}": guarded for file in files for line, guarded in imports_of_mmcv(ast.parse(file.read_text()))
    }
    assert len(lines) > 8
    assert [place for place, guarded in lines.items() if not guarded] == []
