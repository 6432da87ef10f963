"""Names of classes and images: in natural order, and as file names that every system takes."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

# Not allowed in a file name by one system or another, or in a line of class_names.txt.
_REPLACED = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]')
_DIGITS = re.compile(r"([0-9]+)")
_LONGEST_BYTES = 120  # file systems take 255 bytes; an id gets more letters
_DIGEST_LETTERS = 8

NaturalKey = tuple[tuple[tuple[int, int, str], ...], str]


def natural_key(text: str) -> NaturalKey:
    """The key of a sort in which numbers within names count as numbers: "class2" before "class10".

    Names that are equal except for zeros in front of a number ("07", "7") are ordered by their characters.
    """
    parts = []
    for number, part in enumerate(_DIGITS.split(text)):
        digits = part.lstrip("0") if number % 2 else ""
        parts.append((0, len(digits), digits) if number % 2 else (1, 0, part))
    return tuple(part for part in parts if part != (1, 0, "")), text


def clean_name(text: str) -> str:
    """`text` as the name of a file: composed Unicode, single spaces, nothing that a system refuses.

    `/ \\ : * ? " < > |`, control characters and halves of characters become "_", and so does a dot in front, which
    would hide the file. An empty name becomes "_".
    """
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    name = _REPLACED.sub("_", composed)
    if name.startswith("."):
        name = "_" + name[1:]
    name = name.encode()[:_LONGEST_BYTES].decode(errors="ignore").rstrip(" .")
    return name or "_"


def class_names_of(labels: Iterable[str]) -> dict[str, str]:
    """{label: name of its class}, in the natural order of the names, which is that of the class indices.

    Labels that differ only in spaces or in how Unicode composes them are one class. Labels that map to one name
    otherwise ("a/b" and "a_b") stay apart: all but the first get a number, "a_b_2".
    """
    spellings: dict[str, list[str]] = {}
    for label in sorted(set(labels), key=natural_key):
        spellings.setdefault(unicodedata.normalize("NFC", " ".join(label.split())), []).append(label)
    # A label that is a name already keeps it.
    ordered = sorted(spellings, key=lambda text: (clean_name(text) != text, natural_key(text)))
    taken: set[str] = set()
    names = {}
    for text in ordered:
        name = _free_name(clean_name(text), taken)
        taken.add(name)
        names.update(dict.fromkeys(spellings[text], name))
    return dict(sorted(names.items(), key=lambda item: (natural_key(item[1]), item[0])))


def image_ids(names: Sequence[str]) -> list[str]:
    """An id for each image, unique in the whole dataset, from its path in the source, `names`.

    It is the file's name without the suffix. If several have the same one, whatever its case, each gets the first
    letters of the sha256 of its path too, so that an id does not change when other images come or go.
    """
    stems = [clean_name(PurePosixPath(name).stem) for name in names]
    times = Counter(stem.casefold() for stem in stems)
    for letters in range(_DIGEST_LETTERS, 65, _DIGEST_LETTERS):
        ids = [
            stem if times[stem.casefold()] == 1 else f"{stem}-{_digest(name)[:letters]}"
            for stem, name in zip(stems, names, strict=True)
        ]
        if len({each.casefold() for each in ids}) == len(ids):
            return ids
    raise AssertionError("two images have one path")


def _free_name(name: str, taken: set[str]) -> str:
    number, found = 2, name
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
