"""No text of clearctl has a phrase of phrases.txt: strings, docstrings and comments of its code, and its pages."""

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("phrases.txt")
CODE = [
    file
    for folder in ("clearctl", "configs", "benchmarks")
    for file in sorted((ROOT / folder).rglob("*.py"))
    if not file.relative_to(ROOT).is_relative_to("clearctl/configs")  # a link to configs/
]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")),
]
TEXTS = {
    tokenize.COMMENT,
    tokenize.STRING,
    *(getattr(tokenize, name) for name in ("FSTRING_MIDDLE",) if hasattr(tokenize, name)),
}
QUOTES = re.compile(r"""^#|^[A-Za-z]{0,2}("{3}|'{3}|"|')|("{3}|'{3}|"|')$""")  # around a token's text


def read_phrases() -> dict[str, str]:
    """{phrase: what to write}."""
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split(" -> ", 1) for line in lines)  # type: ignore[misc]  # a line without an arrow raises


def pattern_of(phrases: dict[str, str]) -> re.Pattern[str]:
    """What finds any of the `phrases`, over the ends of lines too."""
    words = (
        r"\s+".join(r"[\w.'`]+" if word == "*" else re.escape(word) for word in phrase.split()) for phrase in phrases
    )
    return re.compile(rf"(?<![\w-])({'|'.join(words)})(?![\w-])", re.IGNORECASE)


def texts_of(source: str) -> str:
    """The strings and comments of Python code, comments and string parts that follow each other as one text."""
    parts = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in TEXTS:
            parts.append(QUOTES.sub("", token.string))
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            parts.append("\n|\n")
    return "\n".join(parts)


def found_in(text: str, pattern: re.Pattern[str]) -> list[str]:
    """Each phrase in `text`, in lower case, with one space between words."""
    return [" ".join(match.group().lower().split()) for match in pattern.finditer(text)]


def test_the_list_is_long_and_each_phrase_is_once_in_it() -> None:
    lines = [line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert len(read_phrases()) == len(lines) >= 60
    assert all(phrase == phrase.strip().lower() and instead.strip() for phrase, instead in read_phrases().items())


@pytest.mark.parametrize(
    "source",
    [
        'x = "written anew"',
        "# written\n# anew\nx = 1",
        'def f():\n    """Written\n    Anew."""',
        'x = ("for"\n     " want of")',
    ],
)
def test_a_phrase_is_found_in_strings_docstrings_and_comments(source: str) -> None:
    assert len(found_in(texts_of(source), pattern_of(read_phrases()))) == 1


def test_a_name_and_a_part_of_a_word_are_no_phrase() -> None:
    assert found_in(texts_of("mend = amend\n# recommend, hands-on on"), pattern_of(read_phrases())) == []


def test_no_phrase_is_used() -> None:
    pattern = pattern_of(read_phrases())
    used = {}
    for file in (*CODE, *PAGES):
        text = file.read_text(encoding="utf-8")
        found = found_in(texts_of(text) if file.suffix == ".py" else text, pattern)
        if found:
            used[str(file.relative_to(ROOT))] = found
    assert not used, f"see {LIST.relative_to(ROOT)} for what to write"
