"""Checks packages and programs that only some commands, networks or the tests need."""

import os
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clearctl.doctor.checks import Check, ok
from clearctl.doctor.libraries import Library, installer, range_of

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")  # in this order the tests look for them


def check_packages() -> Iterator[Check]:
    """Ray, Optuna, timm, open_clip, MLflow and Playwright; not imported, since that takes seconds."""
    yield _package("ray", "`clearctl sweep --engine ray`")
    yield _package("optuna", "`clearctl sweep --engine optuna`")
    yield _package("timm", "backbones of timm")
    yield _package("open_clip_torch", "image towers of open_clip")
    yield _package("mlflow-skinny", "MLflowLogger", "'clearctl[mlflow]'")  # with the packages of its store
    yield _package("playwright", "the tests of HTML reports")


def check_programs() -> Iterator[Check]:
    """Chromium and TeX."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if browser:
        yield ok("Chromium", browser)
    else:
        own = _browsers_of_playwright()
        note = f"; Playwright's own in {own} is not used" if own else ""
        yield ok("Chromium", f"not on the PATH{note} (for the tests of HTML reports)", "apt install chromium")
    tex = shutil.which("pdflatex")
    if tex:
        yield ok("TeX", tex)
    else:
        yield ok("TeX", "no pdflatex (to compile a LaTeX report)", "apt install texlive-latex-recommended")


def _package(name: str, use: str, requirement: str | None = None) -> Check:
    try:
        return ok(name, version(name))
    except PackageNotFoundError:
        fix = f"{installer()} install {requirement or Library(name, range_of(name)).requirement}"
        return ok(name, f"not installed (for {use})", fix)


def _browsers_of_playwright() -> Path | None:
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return folder if folder.is_dir() and any(folder.glob("chromium*")) else None
