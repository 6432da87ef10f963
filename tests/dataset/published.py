"""The published procedures, written as they are described, with nothing of clearctl's; what a folder holds."""

import json
import random
from pathlib import Path


def prepared(root: Path) -> dict[str, bytes]:
    """All files below training_folder, by path relative to it."""
    folder = root / "training_folder"
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """(inode, time of change in ns) of everything below training_folder, folders too."""
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in root.rglob("training_folder/**")}


def published_class_names(root: Path) -> list[str]:
    return (root / "class_names.txt").read_text().split("\n")


def published_lines(root: Path) -> dict[str, list[str]]:
    """The lines of all.txt, written as the procedure is described, with nothing of clearctl's."""
    names = published_class_names(root)
    metadata = json.loads((root / "labeled_metadata.json").read_text())
    lines = {}
    for bucket in sorted(metadata, key=int):
        lines[bucket] = []
        for name in metadata[bucket]:
            with open(root / metadata[bucket][name]) as file:
                for record in json.load(file).values():
                    lines[bucket].append(record["IMG_PATH"] + " " + str(names.index(name)))
    return lines


def published(root: Path, test_ratio: float, seeds, stratified: bool = False) -> dict[str, bytes]:
    """All files of a prepared folder, by the published procedures with the module's own generator."""
    lines = published_lines(root)
    files = {"bucket_indices.json": json.dumps(list(lines))}
    for bucket, rows in lines.items():
        files[f"filelists/{bucket}/all.txt"] = "\n".join(rows)
        for seed in seeds:
            if stratified:
                train, test = published_stratified(rows, test_ratio, seed, len(published_class_names(root)))
            else:
                train, test = published_random(rows, test_ratio, seed)
            folder = f"testset_ratio_{test_ratio}/split_{seed}/{bucket}"
            for side, numbers in (("train", train), ("test", test)):
                text = "\n".join([rows[number] for number in numbers])
                files[f"{folder}/{side}.txt"] = text + "\n" if stratified else text
                files[f"{folder}/{side}_indices.json"] = json.dumps(numbers)
    return {name: text.encode() for name, text in files.items()}


def published_random(rows, test_ratio, seed):
    random.seed(seed)
    order = list(range(len(rows)))
    random.shuffle(order)
    size = int(len(rows) * test_ratio)
    return order[: len(rows) - size], order[len(rows) - size :]


def published_stratified(rows, test_ratio, seed, num_classes):
    train, test = [], []
    for index in range(num_classes):
        members = [number for number, row in enumerate(rows) if int(row.split(" ")[-1]) == index]
        random.seed(seed)
        random.shuffle(members)
        size = int(len(members) * test_ratio)
        test.extend(members[:size])
        train.extend(members[size:])
    random.shuffle(train)
    random.shuffle(test)
    return train, test
