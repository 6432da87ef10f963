"""Whatever README and the pages in docs point to in this repository is there."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def links(page: Path) -> list[str]:
    """What the page links to or shows, without what lies on the web; nothing from inside code."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"`[^`\n]*`", "", text)
    found = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_there_are_pages_with_links():
    assert {"README.md", "README.zh-CN.md", "first-hour.md", "config.md"} <= {page.name for page in PAGES}
    assert "docs/images/demo.svg" in links(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_images_are_there(page):
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / unquote(file)).resolve() if file else page
        assert target.exists(), f"{page.name} points to {link}"
        assert target.is_relative_to(ROOT), f"{page.name} points to {link}, outside the repository"
        if anchor:
            assert anchor in anchors(target), f"{page.name} points to {link}: no such heading"


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        reached |= new
        targets = {(page.parent / link.partition("#")[0]).resolve() for page in new for link in links(page)}
        new = {target for target in targets if target.suffix == ".md"} - reached
    assert set(PAGES) <= reached


def test_every_page_is_listed_on_the_first_one_of_the_site():
    listed = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs" / "index.md")}
    assert {page for page in PAGES if page.parent == ROOT / "docs"} - listed == {ROOT / "docs" / "index.md"}


def test_every_picture_is_shown():
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert set((ROOT / "docs" / "images").iterdir()) <= shown
