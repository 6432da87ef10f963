"""A real browser, for the pages of reports."""

import os
import shutil
from collections.abc import Iterator

import pytest

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
