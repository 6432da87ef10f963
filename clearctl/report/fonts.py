"""Fonts for figures: one with the characters of all labels, including Chinese ones, if the machine has such a font."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

BASE = "DejaVu Sans"  # which comes with matplotlib
# Fonts with Chinese, Japanese and Korean letters, those of a sans-serif face first.
_PREFERRED = (
    "Noto Sans CJK",
    "Source Han Sans",
    "WenQuanYi",
    "PingFang",
    "Hiragino Sans",
    "Microsoft YaHei",
    "SimHei",
    "Droid Sans Fallback",
    "Arial Unicode",
)


def families(texts: Iterable[str], searched: Sequence[Path] = ()) -> tuple[list[str], str]:
    """(font families, the letters that none of them has) for `texts`.

    Fonts are searched for in the folders `searched` besides those of the system, and only for what DejaVu Sans lacks.
    """
    base = font_manager.findfont(BASE)
    lacking = {letter for text in texts for letter in text if letter.isprintable()} - _letters(base)
    found = [BASE]
    if lacking:
        for name, file in _others(tuple(map(str, searched))):
            if lacking & _letters(file):
                found.append(name)
                lacking -= _letters(file)
            if not lacking:
                break
    return found, "".join(sorted(lacking))


@cache
def _others(searched: tuple[str, ...]) -> list[tuple[str, str]]:
    """(family, file) of all fonts but DejaVu's, the preferred first; also those that are new to matplotlib."""
    files = {*font_manager.findSystemFonts(), *font_manager.findSystemFonts(list(searched) or None)}
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in sorted(files - known):
        try:
            font_manager.fontManager.addfont(file)
        except (OSError, RuntimeError):  # which FreeType cannot read
            continue
    fonts = {
        (entry.name, entry.fname)
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and not entry.name.startswith(("DejaVu", "Last Resort", "STIX", "cm"))
    }

    def place(font: tuple[str, str]) -> tuple[int, str, str]:
        rank = next((rank for rank, name in enumerate(_PREFERRED) if font[0].startswith(name)), len(_PREFERRED))
        return rank, *font

    return sorted(fonts, key=place)


@cache
def _letters(file: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(file).get_charmap()))
    except (OSError, RuntimeError):
        return frozenset()
