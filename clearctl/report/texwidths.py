"""An upper bound for the width of a text in LaTeX: an estimate by letters, for Computer Modern at 8 pt."""

import re

_SIZE_PT, _SMALL_PT = 8.0, 6.0
_MEDIUM = 0.92  # of the width in bold
_NARROW, _WIDE = frozenset("ijltfI.,:;!'|()[] "), frozenset("mwMW@%")
_SMALL = re.compile(r"\{\\fontsize\{6\}\{7.2\}\\selectfont(.*?)\}")


def width_pt(text: str) -> float:
    """The width of LaTeX's source `text` in points, rather too large than too small."""
    small = "".join(_SMALL.findall(text))
    large = _ems(_SMALL.sub("", text)) * (1.0 if r"\textbf" in text else _MEDIUM)
    return large * _SIZE_PT + _ems(small) * _MEDIUM * _SMALL_PT


def _ems(text: str) -> float:
    """The width of bold text, in quads."""
    text = re.sub(r"\\,", "", text).replace(r"$\pm$", "+").replace("$-$", "+").replace(r"$^\dagger$", "'")
    text = re.sub(r"\\text[a-z]+\{\}", "+", text)
    text = re.sub(r"\\(?:textbf|allowbreak|dots|raggedright|itshape)\b(?:\{\})?|[{}\\]", "", text)
    return sum(_em(letter) for letter in text)


def _em(letter: str) -> float:
    if letter in _NARROW:
        return 0.36
    if letter in _WIDE:
        return 1.0
    if letter == "+":  # for every sign of mathematics
        return 0.95
    if letter.isupper():
        return 0.88
    return 0.62 if ord(letter) < 0x250 else 1.05
