"""The lines of a bucket's file list for training, testing and validation: by protocol, split and selection."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clearctl import filelists, layout
from clearctl.errors import ConfigError, DatasetError
from clearctl.selection import Selection
from clearctl.wording import few

Listed = list[tuple[str, int]]  # (path, class index) of each line of a bucket's file list


def parts_of_buckets(
    listed: Mapping[str, Listed],
    split: Path | None,
    selection: Selection,
    class_names: Sequence[str],
    seed: int | None,
    evaluate_on: str = "test",
    left_out: bool = False,
) -> dict[str, dict[str, list[int]]]:
    """{bucket: {part, as a `Bucket` calls it: line numbers}}; "validation" if it is held out beside the test part.

    The train and test part are those of `split`, of which no other files are read, or without one the whole bucket.
    What `selection` holds out of the train part is neither trained nor tested on, except for `evaluate_on`
    "validation": then it is the test part. `left_out` asks for the lines that `selection` leaves out of the part that
    is tested.
    Raises DatasetError if nothing is left of a part, and ConfigError for classes with too few images to hold some
    out.
    """
    parts: dict[str, dict[str, list[int]]] = {}
    too_few: list[str] = []
    for name, lines in listed.items():
        labels = [label for _, label in lines]
        everything = list(range(len(lines)))
        train = everything if split is None else filelists.read_split_part(split / name, "train", lines)
        held_out = selection.held_out(name, train, labels, class_names, seed or 0)
        short = selection.too_few(train, labels, class_names)
        too_few += [f"{class_names[label]!r} in bucket {name} has {count}" for label, count in short.items()]
        if evaluate_on == "validation":
            tested = train
        else:
            tested = everything if split is None else filelists.read_split_part(split / name, "test", lines)
        found = parts[name] = {
            "train": selection.trained(name, _without(train, held_out), labels, class_names, seed or 0),
            "test": selection.tested(_without(tested, held_out), labels, class_names),
        }
        if evaluate_on == "validation":
            found["test"] = held_out
        elif selection.validation is not None:
            found["validation"] = held_out
        if left_out:
            found["left_out"] = _without(tested, selection.tested(tested, labels, class_names))
    if too_few:
        text = (
            f"{selection.validation:g} of each class is held out, which leaves {len(too_few):,} without training images"
        )
        raise ConfigError(f"scenario.validation: {text}: {few(too_few)}")
    for name, found in parts.items():
        for what in ("train", "test"):
            if not found[what]:
                raise DatasetError(f"bucket {name} has no image to {what} on of {few(selection.names(class_names))}")
    return parts


def _without(lines: Sequence[int], others: Sequence[int]) -> list[int]:
    left_out = set(others)
    return [line for line in lines if line not in left_out]


def iid_split_folder(root: Path, test_ratio: float, shot: int | None, seed: int) -> Path:
    """The folder of the split that the iid protocol trains and tests on, whether it exists or not."""
    if shot is not None:
        return layout.shot_split_folder(root, shot, seed)
    if layout.has_published_split(root):
        return layout.published_split_folder(root)
    return layout.ratio_split_folder(root, test_ratio, seed)


def iid_split_command(root: Path, test_ratio: float, shot: int | None, seed: int) -> str:
    """The command that makes the split at `iid_split_folder`."""
    if shot is not None:
        return f"clearctl make-fewshot --dataset-root {root} --shot {shot} --seed {seed}"
    command = f"clearctl prepare-avalanche --dataset-root {root}"
    if layout.has_published_split(root):
        return command
    return f"{command} --test-ratio {test_ratio} --seeds {seed}"


def require_split(root: Path, names: list[str], test_ratio: float, shot: int | None, seed: int) -> Path:
    """The folder of the split, which has all of the buckets. Raises DatasetError."""
    split = iid_split_folder(root, test_ratio, shot, seed)
    for name in names:
        if not (split / name).is_dir():
            command = iid_split_command(root, test_ratio, shot, seed)
            raise DatasetError(f"the split {split / name} does not exist\nrun `{command}`")
    return split
