"""A deferred module is the module itself, and its code runs when a name of it is asked for."""

import inspect
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from halting import until

from clearctl import deferred
from clearctl.deferred import defer


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an importable package, `seldom`, that has one submodule; both print when they run."""
    folder = tmp_path / "seldom"
    folder.mkdir()
    (folder / "__init__.py").write_text("print('seldom runs')\nanswer = 42\n")
    (folder / "part.py").write_text("print('part runs')\nfrom seldom import answer\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in ("seldom", "seldom.part"):
        sys.modules.pop(name, None)


def test_code_runs_once_and_only_when_a_name_is_asked_for(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defer("seldom")
    import seldom

    assert seldom.__file__ == str(package / "__init__.py")
    assert capsys.readouterr().out == ""
    assert seldom.answer == 42
    assert seldom.answer == 42
    assert capsys.readouterr().out == "seldom runs\n"
    assert sys.modules["seldom"] is seldom


def test_a_submodule_runs_its_package_first(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defer("seldom")
    from seldom import part

    assert capsys.readouterr().out == "seldom runs\npart runs\n"
    assert part.answer == 42


def test_a_deferred_submodule_runs_its_deferred_package_first(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "part.py").write_text("print('part runs')\nfrom seldom import answer\nother = answer + 1\n")
    defer("seldom")
    defer("seldom.part", known=7)
    from seldom.part import known

    assert (known, capsys.readouterr().out) == (7, "")
    from seldom.part import other

    assert other == 43
    assert capsys.readouterr().out == "seldom runs\npart runs\n"


def test_a_deferred_package_may_use_its_deferred_submodule(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (package / "__init__.py").write_text("print('seldom runs')\nanswer = 42\nfrom seldom.part import answer\n")
    defer("seldom")
    defer("seldom.part")
    import seldom.part

    assert seldom.part.answer == 42
    assert capsys.readouterr().out == "seldom runs\npart runs\n"


def test_mmcvs_look_at_all_modules_of_torch_is_no_need(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defer("seldom")
    assert not hasattr(sys.modules["seldom"], "_check_balance")
    assert capsys.readouterr().out == ""


def test_looking_for_source_code_is_no_need(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """torch looks for the source of what it registers, through all modules; importlib's LazyLoader runs them then."""
    defer("seldom")
    inspect.modulesbyfile.clear()
    inspect.getmodule(type("Unplaced", (), {"__module__": "nowhere"}), _filename="nowhere.py")
    assert capsys.readouterr().out == ""


def test_known_names_are_no_need_and_stay(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    defer("seldom", lost=7)
    import seldom

    assert hasattr(seldom, "lost")
    assert capsys.readouterr().out == ""
    assert (seldom.answer, seldom.lost) == (42, 7)


def test_a_known_name_is_not_taken_for_a_submodule_that_is_imported(package: Path) -> None:
    (package / "__init__.py").write_text("from seldom import part\nanswer = part.value\n")
    (package / "part.py").write_text("value = 42\n")
    defer("seldom", part=None)
    import seldom

    assert seldom.part is None
    assert seldom.answer == 42
    assert seldom.part.value == 42


def test_code_that_raises_does_so_at_the_first_use_and_again_at_the_next_import(package: Path) -> None:
    (package / "__init__.py").write_text("raise OSError('no library')\n")
    defer("seldom")
    import seldom

    with pytest.raises(OSError, match="no library"):
        seldom.answer  # noqa: B018
    assert "seldom" not in sys.modules
    with pytest.raises(OSError, match="no library"):
        import seldom


def test_a_name_that_is_not_there_is_an_attribute_error(package: Path) -> None:
    defer("seldom")
    import seldom

    with pytest.raises(AttributeError, match=r"module 'seldom' has no attribute 'question'"):
        seldom.question  # noqa: B018


def test_threads_run_the_code_once(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its code comes to its end when all threads have asked for a name of it."""
    (package / "__init__.py").write_text("print('seldom runs')\nimport sys\nsys.wait_for_all()\nanswer = 42\n")
    defer("seldom")
    import seldom

    asking: list[threading.Thread] = []

    def wait_for_all() -> None:
        until(lambda: sum(is_in(thread, deferred.__file__) for thread in asking) == 4)

    sys.wait_for_all = wait_for_all
    found: list[int] = []
    try:
        asking += [threading.Thread(target=lambda: found.append(seldom.answer)) for _ in range(4)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    finally:
        del sys.wait_for_all
    assert found == [42] * 4
    assert capsys.readouterr().out == "seldom runs\n"


def is_in(thread: threading.Thread, file: str) -> bool:
    """Whether a thread runs code of the `file`, or what that calls."""
    frame = sys._current_frames().get(thread.ident or 0)
    return any(called.f_code.co_filename == file for called, _ in traceback.walk_stack(frame)) if frame else False


def test_what_is_not_installed_or_imported_already_is_left_alone() -> None:
    import json

    defer("json")
    assert sys.modules["json"] is json
    defer("no_such_package")
    defer("no_such_package.part")
    assert "no_such_package" not in sys.modules
    assert "no_such_package.part" not in sys.modules
