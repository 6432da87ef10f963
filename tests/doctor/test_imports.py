"""Imports in a process of their own, of modules that break in every way."""

from pathlib import Path

import pytest

from clearctl.doctor.imports import Imported, import_all
from clearctl.progress import Counted, Event

MODULES = {
    "sound": "__version__ = '1.2'\nprint('hello')\nimport sys; sys.stdout.flush()",
    "raises": "raise RuntimeError('built for\\nanother Python')",
    "exits": "import sys; sys.exit('no licence')",
    "aborts": "import os; os._exit(3)",
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "needs": "import not_there_at_all",
    "last": "__version__ = 7",
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return list(MODULES)


def test_each_has_its_answer_however_those_before_it_ended(modules: list[str]) -> None:
    events: list[Event] = []
    found = import_all([*modules, "absent_library"], events.append)
    assert list(found) == [*modules, "absent_library"]
    assert found["sound"] == Imported("sound", version="1.2")
    assert found["last"] == Imported("last")  # that is no version
    errors = {name: one.error for name, one in found.items() if one.error}
    assert errors == {
        "raises": "its import raises RuntimeError: built for another Python",
        "exits": "its import calls sys.exit('no licence')",
        "aborts": "its import ends Python (exit code 3)",
        "crashes": "its import ends Python (signal SIGSEGV)",
        "needs": "its import raises ModuleNotFoundError: No module named 'not_there_at_all'",
        "absent_library": "its import raises ModuleNotFoundError: No module named 'absent_library'",
    }
    assert found["needs"].missing == "not_there_at_all"
    assert [event.done for event in events if isinstance(event, Counted)] == list(range(1, 9))


def test_one_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waits.py").write_text("import threading; threading.Event().wait()")
    monkeypatch.syspath_prepend(tmp_path)
    assert import_all(["waits"], longest_s=0.5)["waits"].error == "its import did not end within 0.5 s"
