"""mmcv's and mmcls's loggers leave those of the program alone."""

import logging
import subprocess
import sys
import textwrap

import pytest

from clearctl.models.openmmlab import quiet


def level_after(statement: str) -> str:
    """The level of the program's own handler in a process of its own, after an import."""
    program = f"""
        import logging
        logging.basicConfig(level=logging.INFO)
        {statement}
        print(logging.getLevelName(logging.root.handlers[0].level))
    """
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


@pytest.mark.process
def test_mmcv_silences_the_programs_own_handlers_and_clearctl_does_not() -> None:
    assert level_after("import mmcls.models") == "ERROR"  # when this fails, models.openmmlab is not needed for it
    assert level_after("from clearctl.engine.build.catalogue import CATALOGUE; CATALOGUE.heads.classes") == "NOTSET"
    assert level_after("import clearctl.models.openmmlab, mmcls.utils; mmcls.utils.get_root_logger()") == "NOTSET"


def test_their_loggers_are_quiet_within_alone() -> None:
    before = [logging.getLogger(name).level for name in ("mmcv", "mmcls")]
    assert before == [logging.INFO] * 2
    with quiet():
        assert [logging.getLogger(name).level for name in ("mmcv", "mmcls")] == [logging.ERROR] * 2
    assert [logging.getLogger(name).level for name in ("mmcv", "mmcls")] == before
