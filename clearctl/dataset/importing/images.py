"""An image of a source, and the list of files that are left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clearctl.dataset.importing.dates import DateTaken
from clearctl.wording import counted, few


@dataclass(frozen=True)
class SourceImage:
    """An image file with its label, and what else the source says of it.

    `name` is its path as in messages: relative to the source, parts joined by "/". `bucket` and `split` ("train"
    or "test") are None if the source has none. `fields` are the other columns of a table.
    """

    file: Path
    name: str
    label: str
    bucket: str | None = None
    split: str | None = None
    date: DateTaken | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


_OF_SEVERAL = ("that is not an image", "that are not images")


@dataclass
class LeftOut:
    """{why: the names of the files}; the reasons are in the order in which they were found."""

    files: dict[str, list[str]] = field(default_factory=dict)

    def add(self, why: str, names: Iterable[str]) -> None:
        """Leave out the files called `names`."""
        for name in names:
            self.files.setdefault(why, []).append(name)

    def lines(self) -> list[str]:
        """A line for each reason: how many files, and the first few."""
        return [
            f"{counted(len(names), 'file')} {why if len(names) == 1 else why.replace(*_OF_SEVERAL)}: {few(names)}"
            for why, names in self.files.items()
        ]


@dataclass
class Found:
    """The images of a source. `layout` says how it was read: "class", "split/bucket/class" or "table"."""

    images: list[SourceImage]
    layout: str
    left_out: LeftOut = field(default_factory=LeftOut)
