"""Counts, lists and other libraries' errors as parts of a message."""

from collections.abc import Sequence


def plural(noun: str, number: int) -> str:
    """`run` for 1, `runs` for any other number; `class`, `classes`; `batch`, `batches`, but `epoch`, `epochs`."""
    hisses = noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch")
    return noun if number == 1 else f"{noun}es" if hisses else f"{noun}s"


def counted(number: int, noun: str) -> str:
    """`1 run`, `1,200 runs`."""
    return f"{number:,} {plural(noun, number)}"


def dataset_size(images: int, classes: int, buckets: int) -> str:
    """`33,000 images of 11 classes in 10 buckets`."""
    return f"{counted(images, 'image')} of {counted(classes, 'class')} in {counted(buckets, 'bucket')}"


def any_of(names: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return _joined(names, "or")


def all_of(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return _joined(names, "and")


def few(names: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def first_line(error: BaseException, without_text: str | None = None) -> str:
    """The first line of an error's text; if it has none, `without_text` or its class."""
    return (str(error).strip() or without_text or type(error).__name__).splitlines()[0].strip()


def in_one_line(error: BaseException) -> str:
    """An error's text as one line; if it has none, its class."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def _joined(names: Sequence[str], word: str) -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}" if len(names) > 1 else names[0]
