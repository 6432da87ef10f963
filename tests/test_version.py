"""The files that name the version, or say how to cite it, agree with it."""

import re
from pathlib import Path

import yaml

from clearctl.version import __version__

ROOT = Path(__file__).parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")  # of keepachangelog.com


def test_the_changelog_begins_with_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)} - \d{{4}}-\d\d-\d\d", headings[1])
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= set(KINDS)


def test_the_citation_is_of_this_version_and_names_the_paper_of_clear() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == ["Lin", "Shi", "Pathak", "Ramanan"]
