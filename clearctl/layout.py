"""The layout of a CLEAR dataset folder, and how its small files are read.

The labelled images: in the public layout in the dataset folder itself; in the later layout in train/ (or
train_image_only/) and test/, each with all of these files. The files present decide which layout it is:

    class_names.txt                       one name a line; the line number (from 0) is the class index
    labeled_metadata.json                 {bucket: {class: path of its json}}
    labeled_metadata/<bucket>/<class>.json   {id: {"ID", "IMG_PATH", "DATE_TAKEN", ...}}
    labeled_images/<bucket>/<class>/<id>.jpg
    features/<name>/features.json         {bucket: {class: path of its pth}}, in some releases
    features/<name>/<bucket>/<class>.pth     {id: tensor [D]}

Without labeled_metadata.json the labels are the folders below labeled_images/; then class_names.txt may be missing too.

Files that clearctl writes, in either layout:

    training_folder/bucket_indices.json
    training_folder/class_names.txt       if the release has none
    training_folder/filelists/<bucket>/all.txt
    training_folder/features/<name>/<bucket>/all.pth
    training_folder/testset_ratio_<r>/split_<seed>/<bucket>/{train,test}.txt, {train,test}_indices.json
    training_folder/<shot>_shot/split_<seed>/<bucket>/   the same four files
    training_folder/published_split/<bucket>/   the same four files, if the release has train/ and test/
    training_folder/image_cache/<digest>/*.images   images that training decoded: may be removed when no run uses them

Does not import torch. Invalid content raises DatasetError.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clearctl import regular
from clearctl.data_names import DATA_NAMES, DEFAULT
from clearctl.errors import DatasetError

ROOT_VARIABLE = "CLEARCTL_DATASET_ROOT"
TRAIN_FOLDERS = ("train", "train_image_only")
TEST_FOLDER = "test"
# For a bucket's name and a class index; Python refuses to parse numbers of thousands of digits.
_MAX_DIGITS = 9


def default_root(data_name: str | None = None) -> Path:
    """The default dataset folder: $CLEARCTL_DATASET_ROOT, else the folder of `data_name`, else CLEAR-10's.

    Raises KeyError for a name that is not CLEAR's, which has no default folder.
    """
    return Path(os.environ.get(ROOT_VARIABLE) or DATA_NAMES[data_name or DEFAULT].folder)


def labeled_folders(root: Path) -> list[Path]:
    """The folders with labelled images: `root` itself in the public layout, its train and test in the later one.

    Raises DatasetError that names what is missing, unless `root` has one of the two layouts.
    """
    require_root(root)
    train = next((root / name for name in TRAIN_FOLDERS if (root / name).is_dir()), None)
    if train is None or has_metadata(root) or (is_labeled(root) and not is_labeled(train)):
        require_clear(root)
        return [root]
    folders = [train, root / TEST_FOLDER]
    if not folders[1].is_dir():
        raise DatasetError(
            f"{root} has {train.name}/ but no {TEST_FOLDER}/: the later release comes as two archives\n"
            f"unpack both into {root}, or name {train} itself to split it at random"
        )
    for folder in folders:
        require_clear(folder)
    return folders


def is_bucket_name(name: str) -> bool:
    """Whether `name` is a number, as the names of buckets are."""
    return name.isascii() and name.isdecimal() and len(name) <= _MAX_DIGITS


def class_names_file(root: Path) -> Path:
    """One class name a line; in the later layout the one in train/, or else in test/ (both have the same).

    If the release has none, the one that `prepare-avalanche` wrote.
    """
    trains = [root / name for name in TRAIN_FOLDERS]
    own = [root, *trains] if has_metadata(root) else [*trains, root]
    for folder in [*own, root / TEST_FOLDER, training_folder(root)]:
        if (folder / "class_names.txt").is_file():
            return folder / "class_names.txt"
    return root / "class_names.txt"


def prepared_class_names_file(root: Path) -> Path:
    """The class names that `prepare-avalanche` wrote for a release without them."""
    return training_folder(root) / "class_names.txt"


def labeled_metadata_file(folder: Path) -> Path:
    """{bucket: {class: path of its json, relative to the folder}}."""
    return folder / "labeled_metadata.json"


def labeled_images_folder(folder: Path) -> Path:
    """Contains a folder per bucket, with a folder per class."""
    return folder / "labeled_images"


def has_metadata(folder: Path) -> bool:
    """Whether the labels of a folder come from metadata; otherwise they come from its subfolders."""
    return labeled_metadata_file(folder).is_file()


def is_labeled(folder: Path) -> bool:
    """Whether `folder` has metadata, or a folder of images for a bucket."""
    images = labeled_images_folder(folder)
    try:
        return has_metadata(folder) or (images.is_dir() and any(map(is_bucket_name, os.listdir(images))))
    except OSError as error:
        raise DatasetError(f"{images} cannot be read: {error.strerror}") from None


def released_features_folder(folder: Path) -> Path:
    """The features that a release ships; contains a folder per name."""
    return folder / "features"


def demo_stamp_file(root: Path) -> Path:
    """In the folder of the demo's stream: which seed and version made it."""
    return root / "demo.json"


def lock_file(root: Path) -> Path:
    """The lock of the command that changes the dataset folder."""
    return root / ".clearctl.lock"


def training_folder(root: Path) -> Path:
    """The folder that `prepare-avalanche` writes."""
    return root / "training_folder"


def bucket_indices_file(root: Path) -> Path:
    """The names of the buckets, in the order of the stream."""
    return training_folder(root) / "bucket_indices.json"


def filelist_file(root: Path, bucket: str) -> Path:
    """All images of a bucket: path, space, class index."""
    return training_folder(root) / "filelists" / bucket / "all.txt"


def ratio_split_folder(root: Path, test_ratio: float, seed: int) -> Path:
    """The iid split of `prepare-avalanche`; contains a folder per bucket."""
    return training_folder(root) / f"testset_ratio_{test_ratio}" / f"split_{seed}"


def shot_split_folder(root: Path, shot: int, seed: int) -> Path:
    """The few-shot split of `make-fewshot`; contains a folder per bucket."""
    return training_folder(root) / f"{shot}_shot" / f"split_{seed}"


def published_split_folder(root: Path) -> Path:
    """The split into the release's train/ and test/; contains a folder per bucket."""
    return training_folder(root) / "published_split"


def has_published_split(root: Path) -> bool:
    """Whether the release has a train and a test folder; the iid protocol then uses that split."""
    return published_split_folder(root).is_dir()


def image_cache_folder(root: Path) -> Path:
    """Images that training decoded; contains a folder per transform."""
    return training_folder(root) / "image_cache"


def all_features_folder(root: Path) -> Path:
    """The features for training; contains a folder per name."""
    return training_folder(root) / "features"


def features_folder(root: Path, name: str) -> Path:
    """The features `name`; contains a folder per bucket."""
    return all_features_folder(root) / name


def feature_names(root: Path) -> list[str]:
    """The names of the features available for training, sorted."""
    folder = all_features_folder(root)
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []


def features_file(root: Path, name: str, bucket: str) -> Path:
    """(float32 [N, D], list of N ints); row i belongs to line i of the bucket's file list."""
    return features_folder(root, name) / bucket / "all.pth"


def extraction_file(root: Path, name: str) -> Path:
    """The record of how the features `name` were extracted, and which buckets are done."""
    return features_folder(root, name) / "extraction.json"


def require_root(root: Path) -> None:
    """Raise DatasetError unless `root` is a folder."""
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise DatasetError(
            f"no dataset folder at {root}: found {found}\n"
            f"give the folder with --dataset-root DIR or ${ROOT_VARIABLE}, or create a small one with `clearctl demo`"
        )
    for folder in (root, training_folder(root)):
        if folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK):
            raise DatasetError(f"{folder} cannot be read: Permission denied")


def read_text(path: Path) -> str:
    """The UTF-8 text of `path`, without the byte order mark that editors of Windows write."""
    try:
        return regular.read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from None


def read_json(path: Path, pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The value in the JSON file `path`; `pairs_hook` makes each of its objects, as in `json.loads`."""
    try:
        return json.loads(read_text(path), object_pairs_hook=pairs_hook)
    except (ValueError, RecursionError) as error:  # not JSON, too long a number, or nested too deeply
        raise DatasetError(f"{path} is not JSON: {error}") from None


def read_class_names(root: Path) -> list[str]:
    """The class names by index. A newline after the last one is allowed."""
    path = class_names_file(root)
    names = _lines(read_text(path))
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise DatasetError(f"{path}, line {number} is empty, expected one class name per line")
    for name in names:
        if names.count(name) > 1:
            raise DatasetError(f"{path} names the class {name!r} twice")
    return names


def read_bucket_indices(root: Path) -> list[str]:
    """The buckets of a prepared folder, in the order of the stream."""
    require_root(root)
    path = bucket_indices_file(root)
    if not path.exists():
        labeled_folders(root)
        raise DatasetError(
            f"{root} is not prepared: {path.relative_to(root)} is missing\n"
            f"run `clearctl prepare-avalanche --dataset-root {root}`"
        )
    buckets = read_json(path)
    if not isinstance(buckets, list) or not buckets or not all(isinstance(name, str) for name in buckets):
        raise DatasetError(f'{path}: expected a list of bucket names such as ["0", "1"]')
    for name in buckets:
        if not is_bucket_name(name) or buckets.count(name) > 1:
            fault = "is listed twice" if is_bucket_name(name) else "is not a number"
            raise DatasetError(f"{path}: the bucket name {name!r} {fault}")
    return buckets


def require_clear(root: Path) -> None:
    """Raise DatasetError that names what is missing, unless `root` has CLEAR's public layout."""
    require_root(root)
    if has_metadata(root) and not class_names_file(root).is_file():
        missing = "class_names.txt"
    elif not is_labeled(root):
        missing = "labeled_metadata.json and no labeled_images/<bucket>/<class>/"
    elif not has_metadata(root) and (root / "labeled_metadata").is_dir():
        missing = "labeled_metadata.json, the index of its labeled_metadata/: was the archive unpacked completely?"
    else:
        return
    raise DatasetError(
        f"{root} is not a CLEAR folder: it has no {missing}\n"
        "expected class_names.txt, labeled_metadata.json, labeled_metadata/ and labeled_images/ there, "
        "or labeled_images/<bucket>/<class>/ alone, or the same in train/ and test/; `clearctl import` makes one from "
        "your own images"
    )


def read_filelist(path: Path) -> list[tuple[str, int]]:
    """(image path relative to the dataset folder, class index) for each line. Paths may hold spaces."""
    text = read_text(path)
    if not text.strip():
        raise DatasetError(f"{path} lists no images")
    samples = []
    for number, line in enumerate(_lines(text), 1):
        image, separator, label = line.rpartition(" ")
        if not separator or not label.isdecimal() or len(label) > _MAX_DIGITS:
            raise DatasetError(f"{path}, line {number}: expected `path class-index`, found {line!r}")
        samples.append((image, int(label)))
    return samples


def read_bucket_filelist(root: Path, bucket: str, num_classes: int) -> list[tuple[str, int]]:
    """The file list of a bucket; its class indices are below `num_classes`."""
    file = filelist_file(root, bucket)
    listed = read_filelist(file)
    for number, (path, label) in enumerate(listed, 1):
        if label >= num_classes:
            raise DatasetError(
                f"{file}, line {number}: class index {label} of {path}, but class_names.txt has {num_classes} classes"
            )
    return listed


def _lines(text: str) -> list[str]:
    """Lines ended by a newline or CRLF, optional after the last one; str.splitlines splits at more characters."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
