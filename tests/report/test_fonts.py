"""A font for letters that DejaVu Sans lacks: one made here, so that it does not matter which the machine has."""

from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from clearctl.report import fonts

LETTERS = "\U0001f9ff习"  # the second in many fonts of a system, the first in few


def make_font(file: Path, family: str, letters: str) -> None:
    """A font whose letters are squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", *(f"letter{number}" for number in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(letter): name for letter, name in zip(letters, names[1:], strict=True)})
    builder.setupGlyf({name: pen.glyph() for name in names})
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(file)


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the only fonts of the machine beside matplotlib's own."""
    fonts._others.cache_clear()
    own = [entry for entry in font_manager.fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    find = font_manager.findSystemFonts
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *_: find([str(tmp_path)]))
    yield tmp_path
    fonts._others.cache_clear()


def test_latin_labels_need_no_other_font(only: Path) -> None:
    assert fonts.families(["naïve, lr=0.1", "–−†", ""]) == ([fonts.BASE], "")


def test_a_font_that_has_the_letters_is_found_and_the_preferred_first(only: Path) -> None:
    make_font(only / "a.ttf", "Another", LETTERS)
    make_font(only / "b.ttf", "Noto Sans CJK SC", "习")
    assert fonts.families(["回习".replace("回", ""), "x"]) == ([fonts.BASE, "Noto Sans CJK SC"], "")
    assert fonts.families([LETTERS]) == ([fonts.BASE, "Noto Sans CJK SC", "Another"], "")


def test_what_no_font_has_is_said_and_no_placeholder_counts(only: Path) -> None:
    assert fonts.families(["习 and x", "学"]) == ([fonts.BASE], "习学")
    (only / "broken.ttf").write_bytes(b"no font")
    fonts._others.cache_clear()
    assert fonts.families(["学"]) == ([fonts.BASE], "学")
