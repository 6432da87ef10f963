"""A real browser for the pages of reports, and a group of two runs."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report.folders import MATRIX, groups_of, make_run

from clearctl.report.groups import Group

NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")  # Playwright's event loop runs as long as it is open, and others want one of their own
def browser() -> Iterator[object]:
    """A headless Chromium; without one the test is skipped, or fails where CLEARCTL_NEEDS_CHROMIUM is set."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"there is no browser: none of {', '.join(NAMES)} is on the PATH"
        if os.environ.get("CLEARCTL_NEEDS_CHROMIUM"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def pair(tmp_path: Path) -> Group:
    """Two seeds, the second 10 points better everywhere but 0.9."""
    better = [[min(value + 0.1, 0.9) for value in row] for row in MATRIX]
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", better, 1)
    [group] = groups_of(tmp_path)
    return group
