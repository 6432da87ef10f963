"""The date of each image: from the table, else its file name, else EXIF; and what to do without one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import NamedTuple

from clearctl.dataset.importing.contents import FileContents
from clearctl.dataset.importing.dates import DatePattern, DateTaken, implausible, period_of, read_exif
from clearctl.dataset.importing.images import LeftOut, SourceImage
from clearctl.errors import DatasetError
from clearctl.wording import counted


class Undated(NamedTuple):
    """An image without a date: the reason, and its name, with what was found instead of a date."""

    why: str
    name: str


@dataclass(frozen=True)
class Dating:
    """Options of dating images: by `pattern`, if there is one, before EXIF; dates after `now` are in the future."""

    pattern: DatePattern | None
    now: datetime

    def date(self, image: SourceImage, contents: FileContents) -> DateTaken | Undated:
        """The date of an image, or why it has none. A table's date stands, whenever it is."""
        if image.date is not None:
            return image.date
        found = self._of_name(image.name)
        if found is None:
            if contents.exif.date is None:
                also = "" if self.pattern is None else f", and no {self.pattern.text} in its name"
                return Undated(f"without EXIF DateTimeOriginal{also}", image.name)
            moment = read_exif(contents.exif.date)
            if moment is None:
                return Undated("with an invalid EXIF date", f"{image.name} ({contents.exif.date[:30]!r})")
            found = DateTaken(moment, "exif")
        fault = implausible(found.moment, self.now)
        return Undated(f"with a date {fault}", f"{image.name} ({found.moment.date()})") if fault else found

    def _of_name(self, name: str) -> DateTaken | None:
        if self.pattern is None:
            return None
        text = name if "/" in self.pattern.text else PurePosixPath(name).stem
        moment = self.pattern.find(text)
        return DateTaken(moment, "name") if moment else None


def date_all(
    images: Sequence[SourceImage], contents: Sequence[FileContents], dating: Dating, undated: str, left_out: LeftOut
) -> list[SourceImage]:
    """The images with their dates; those without are left out, or, unless `undated` is "skip", a DatasetError."""
    found = [dating.date(image, of_file) for image, of_file in zip(images, contents, strict=True)]
    without = LeftOut()
    for date in found:
        if isinstance(date, Undated):
            without.add(date.why, [date.name])
    number = sum(map(len, without.files.values()))
    if without.files and (undated == "error" or number == len(images)):
        remedy = "" if number == len(images) else "--undated skip leaves them out; "
        raise DatasetError(
            f"{number:,} of {counted(len(images), 'image')} cannot be dated: {'; '.join(without.lines())}\n"
            f"{remedy}--date-pattern reads dates from file names, such as IMG_%Y%m%d; a table can contain them"
        )
    for why, names in without.files.items():
        left_out.add(why, names)
    return [replace(image, date=date) for image, date in zip(images, found, strict=True) if isinstance(date, DateTaken)]


def date_in_buckets(
    images: Sequence[SourceImage], contents: Sequence[FileContents], dating: Dating
) -> tuple[list[SourceImage], list[str]]:
    """The images of buckets that the source has, with their dates as far as they have any, and what was noticed.

    Where a bucket is called by a date ("2004", "2004-05"), an image without a date, or with one that is not in it, gets
    the bucket's first moment.
    """
    dated, outside = [], []
    for image, of_file in zip(images, contents, strict=True):
        found = dating.date(image, of_file)
        date = found if isinstance(found, DateTaken) else None
        period = period_of(image.bucket or "")
        if period and (date is None or not period[0] <= date.moment < period[1]):
            if date is not None:
                outside.append(f"{image.name} ({date.moment.date()})")
            date = DateTaken(period[0], "bucket")
        dated.append(replace(image, date=date))
    notes = []
    if outside:
        notes.append(
            f"{counted(len(outside), 'date')} outside the time in the bucket's name, such as that of "
            f"{outside[0]}: the bucket's date is used"
        )
    return dated, notes
