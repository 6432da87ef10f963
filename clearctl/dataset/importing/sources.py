"""The kinds of a source: folders, a table, a Hugging Face imagefolder with metadata; and the images in it."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from clearctl import layout as clear_layout
from clearctl.dataset.importing import table
from clearctl.dataset.importing.dates import DatePattern
from clearctl.dataset.importing.folders import find_in_folders
from clearctl.dataset.importing.images import Found
from clearctl.dataset.importing.names import natural_key
from clearctl.dataset.importing.rows import find_in_tables, metadata_tables
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, rate_limited


def find_images(
    source: Path,
    *,
    layout: str | None,
    columns: Mapping[str, str] | None,
    image_root: Path | None,
    pattern: DatePattern | None,
    listener: Listener,
) -> Found:
    """The images of `source`, in the natural order of their names; "val" is no longer a split of them.

    Raises UsageError for options that are for another kind of source, DatasetError for an invalid source.
    """
    listener = rate_limited(listener)
    tables = _tables(source, by_folders=layout is not None)
    if tables:
        root = source if source.is_dir() else source.parent
        found = find_in_tables(root, tables, columns, pattern, listener, image_root)
    else:
        given = {"--columns": columns, "--image-root": image_root}
        wrong = [option for option, value in given.items() if value]
        if wrong:
            raise UsageError(f"{wrong[0]} is for tables: {source} is read by its folders")
        found = find_in_folders(source, layout, listener)
    found.images.sort(key=lambda image: natural_key(image.name))
    _settle_splits(source, found)
    return found


def scanned_folder(source: Path) -> Path | None:
    """The folder that is looked through for images; None for a table, which names them."""
    return source if source.is_dir() else None


def _tables(source: Path, *, by_folders: bool) -> list[tuple[Path, str | None]]:
    """The tables to be read, with the split that each is of; none where the folders say what the images are.

    Raises DatasetError for what is not a source, UsageError for a table that is to be read `by_folders`.
    """
    if source.is_dir():
        if clear_layout.is_labeled(source) or any(
            clear_layout.is_labeled(source / name) for name in clear_layout.TRAIN_FOLDERS
        ):
            raise DatasetError(
                f"{source} is already a CLEAR dataset folder\nrun `clearctl prepare-avalanche --dataset-root {source}`"
            )
        try:
            return [] if by_folders else metadata_tables(source)
        except OSError as error:
            raise DatasetError(f"{source} cannot be listed: {error.strerror}") from None
    if not os.path.lexists(source):
        raise DatasetError(f"{source} does not exist: expected a folder of images, or a table of them")
    if source.suffix.lower() not in table.SUFFIXES:
        raise DatasetError(f"{source} is neither a folder nor a table ({', '.join(table.SUFFIXES)})")
    if by_folders:
        raise UsageError(f"--layout is for folders: {source} is a table")
    return [(source, None)]


def _settle_splits(source: Path, found: Found) -> None:
    """Reduce the splits to train and test: "val" is the test set if there is no other, else it is left out.

    Raises DatasetError if only some of the images have a split.
    """
    splits = {image.split for image in found.images}
    if splits == {None}:
        return
    without = [image.name for image in found.images if image.split is None]
    if without:
        raise DatasetError(
            f"{source}: {len(without):,} of {len(found.images):,} images have no split, such as {without[0]}\n"
            "expected train or test for each image, or for none"
        )
    if "val" in splits and "test" in splits:
        dropped = [image.name for image in found.images if image.split == "val"]
        found.left_out.add("of the split val, since there is a test", dropped)
        found.images = [image for image in found.images if image.split != "val"]
    elif "val" in splits:
        found.images = [replace(image, split="test" if image.split == "val" else image.split) for image in found.images]
    if len({image.split for image in found.images}) == 1:
        only = found.images[0].split
        if only == "test":
            raise DatasetError(f"{source} has only test images: there is nothing to train on")
        found.images = [replace(image, split=None) for image in found.images]
