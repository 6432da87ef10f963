"""rebuild.json: how a folder was rebuilt, by which a second run recognises it.

It is called rebuild.unfinished.json until the folder is finished.
"""

from pathlib import Path
from typing import Any

from clearctl import atomic, layout
from clearctl.dataset.arguments import require_new_folder
from clearctl.errors import DatasetError, UsageError

FINISHED = "rebuild.json"
UNFINISHED = "rebuild.unfinished.json"
# Two rebuilds that agree in these are the same; the rest of rebuild.json follows from them, or is information.
SAME = ("source", "sort_by", "descending", "where", "process", "drop_missing", "num_buckets", "images")


def earlier_note(output: Path) -> dict[str, Any] | None:
    """The content of `output`'s rebuild.json, finished or not; None for a folder that is empty or does not exist.

    Raises UsageError if it contains other files, DatasetError for an invalid rebuild.json.
    """
    for file in (output / FINISHED, output / UNFINISHED):
        if file.is_file():
            note = layout.read_json(file)
            if not isinstance(note, dict):
                raise DatasetError(f"{file} was not written by rebuild-by-metadata\nchoose another folder for --output")
            return note
    require_new_folder(output, ignored=(".rebuild.", layout.lock_file(output).name))
    return None


def check_earlier(output: Path, note: dict[str, Any]) -> None:
    """Raise where `output` was made by another rebuild than the one that `note` describes.

    UsageError for other options, DatasetError for other images by the same ones, recognised by their "sha256".
    """
    earlier = earlier_note(output)
    if earlier is None:
        return
    other = [key for key in SAME if earlier.get(key) != note[key]]
    if other:
        key = other[0]
        raise UsageError(
            f"--output {output} was rebuilt with {key} {earlier.get(key)!r}, not {note[key]!r}\n"
            "choose another folder, or remove this one"
        )
    if "sha256" in note and earlier.get("sha256") != note["sha256"]:
        raise DatasetError(
            f"--output {output} was rebuilt with other images, or in another order: its source or its --process "
            "changed\nchoose another folder, or remove this one"
        )


def remove_torn_files(output: Path) -> None:
    """Remove what a killed run left of a file that it was writing, unless the folder is finished."""
    if (output / FINISHED).is_file():
        return
    atomic.remove_temporary(*output.glob("labeled_metadata/*"), *output.glob("labeled_images/*/*"))


def finish(output: Path) -> None:
    """Give rebuild.json its name."""
    try:
        (output / UNFINISHED).replace(output / FINISHED)
    except FileNotFoundError:
        return  # it has it
    except OSError as error:
        raise DatasetError(f"{output / FINISHED} cannot be written: {error.strerror}") from None
