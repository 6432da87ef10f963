"""Options that several commands share, and how their values are parsed."""

from pathlib import Path
from typing import Annotated, Any

import typer

from clearctl.cli.completion import completer, set_values
from clearctl.errors import UsageError
from clearctl.wording import any_of

DatasetRoot = Annotated[
    Path | None,
    typer.Option(
        "--dataset-root",
        metavar="DIR",
        help="The CLEAR folder. Default: $CLEARCTL_DATASET_ROOT, else dataset/CLEAR-10-PUBLIC.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else there.")]
# Python itself refuses to read numbers of thousands of digits; a longer list is a mistake.
MOST_DIGITS = 18
MOST_NUMBERS = 10_000

Buckets = Annotated[
    str | None, typer.Option("--buckets", metavar="NAMES", help="Only these buckets, such as 1-10. Default: all.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that differ.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be written, without writing it.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        autocompletion=completer(("auto", "cpu", "cuda")),
        help="auto, cpu, cuda or cuda:N.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", autocompletion=set_values, help="Change a value of the config; may be repeated."
    ),
]

Nproc = Annotated[
    int,
    typer.Option(
        "--nproc",
        min=1,
        metavar="N",
        help="Share the work among N processes of this machine, each with its own GPU if there are any.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision", metavar="fp32|bf16|fp16", help="Arithmetic of the network. Default: the config's, else fp32."
    ),
]


Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", help="Use only torch's deterministic algorithms: the same numbers on a GPU too, but slower."
    ),
]


def with_precision(overrides: list[str] | None, precision: str | None) -> list[str]:
    """The values of --set, then that of --precision. Raises UsageError for an unknown precision."""
    from clearctl.config.keys import PRECISIONS

    if precision not in (None, *PRECISIONS):
        raise UsageError(f"--precision {precision}: expected {any_of(PRECISIONS)}")
    return [*(overrides or []), *([] if precision is None else [f"precision={precision}"])]


def parse_numbers(text: str, option: str) -> list[int]:
    """`0-4`, `3` or `0,2,5-7` as a list of ints. Raises UsageError naming `option`."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numerals = [first, last] if dash else [first]
        if not all(numeral.isdecimal() and len(numeral) <= MOST_DIGITS for numeral in numerals):
            raise UsageError(f"{option} {text}: expected numbers such as 0-4 or 0,2,5-7")
        run = range(int(first), int(last or first) + 1)
        if not 0 < len(run) <= MOST_NUMBERS:
            raise UsageError(f"{option} {text}: expected numbers such as 0-4 or 0,2,5-7")
        numbers += run
    return numbers


def parse_buckets(text: str | None) -> list[str] | None:
    """The value of --buckets as names; None if it is not given. Raises UsageError."""
    return None if text is None else [str(number) for number in parse_numbers(text, "--buckets")]


def parse_pairs(texts: list[str], option: str) -> dict[str, Any]:
    """`key=value` texts as {key: literal, else string}. Raises UsageError naming `option`."""
    from clearctl.config.words import read_literal

    pairs = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key.strip().isidentifier():
            raise UsageError(f"{option} {text}: expected KEY=VALUE, such as depth=50")
        pairs[key.strip()] = read_literal(value)
    return pairs
