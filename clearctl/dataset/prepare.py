"""Turn a raw CLEAR folder into a prepared one: bucket_indices.json, file lists, iid splits, the release's features.

    training_folder/bucket_indices.json
    training_folder/filelists/<bucket>/all.txt
    training_folder/testset_ratio_<r>/split_<seed>/<bucket>/{train,test}.txt, {train,test}_indices.json
    training_folder/published_split/<bucket>/   the same four files, where train/ and test/ come apart
    training_folder/features/<name>/<bucket>/all.pth   where the release has features/<name>/features.json
    training_folder/class_names.txt   where the release has none: the names of its class folders, sorted

The procedures are those by which the published folders were made (prepare_training_folder.py in the CLEAR paper's
code), so that a published folder and one made here are the same bytes. Everything is read, checked and compared before
the first file is written, a bucket at a time.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clearctl import layout
from clearctl.dataset.arguments import check_seeds, choose_buckets
from clearctl.dataset.files import WantedFile, WriteResult, dataset_lock, wanted_bytes, write_files
from clearctl.dataset.labeled import LabeledImage
from clearctl.dataset.release import Release, read_bucket, read_release
from clearctl.dataset.splits import Split, filelist_lines, lines_by_class, random_split, split_files, stratified_split
from clearctl.dataset.transfer import ReleasedFeatures, find_released_features, wanted_features
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, Message, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.wording import counted

DEFAULT_TEST_RATIO = 0.3
DEFAULT_SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True, repr=False)
class PrepareResult(ShortRepr):
    """The result of `prepare_avalanche`, or of its dry run.

    `written` and `unchanged` count files: those made or replaced, and those that existed with the same
    contents. `images_per_bucket` is {bucket: number of images} for `buckets`, which are in the order of the
    stream. `features` are the names of the release's features that are ready to train on. `published_split` says
    whether the iid split is the release's own.
    """

    root: Path
    buckets: tuple[str, ...]
    images_per_bucket: dict[str, int]
    num_classes: int
    written: int
    unchanged: int
    features: tuple[str, ...] = ()
    published_split: bool = False


def prepare_avalanche(
    root: Path | str,
    *,
    test_ratio: float | None = None,
    seeds: Sequence[int] | None = None,
    stratified: bool = False,
    buckets: Sequence[str | int] | None = None,
    force: bool = False,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> PrepareResult:
    """Write bucket_indices.json, the file lists and, for each seed, the train and test split of each bucket.

    Args:
        root: a dataset folder in the public layout or with the later release's train/ (or train_image_only/) and test/.
        test_ratio: the share of each bucket that goes to the test set, 0 ≤ test_ratio < 1; 0 makes no splits.
            0.3 when None.
        seeds: one split each; distinct and not negative; 0 to 4 when None. Unused where `test_ratio` is 0.
        stratified: take `test_ratio` of every class rather than of the bucket (`stratified_split`).
        buckets: the buckets to prepare, in numeric order whatever the order here. When None, those of a
            bucket_indices.json that already exists, else (and with `force`) all that are labelled.
        force: replace existing files that differ; without it they are an error.
        dry_run: compute and check everything, write nothing.
        listener: notified of each bucket checked and each file written.

    Where train and test come as separate folders a file list holds the lines of train, then those of test, and the
    split is by those folders: `test_ratio`, `seeds` and `stratified` are then refused. Features that the release ships
    are put into file-list order. A folder without metadata is listed by its folders: classes in the order of their
    index, the images of a class by the characters of their file names.

    A second run changes nothing and reports every file as unchanged. A killed run leaves whole files, and
    the next one adds the rest; bucket_indices.json comes last, so a folder that has it is prepared.

    Raises UsageError for arguments that make no sense; DatasetError for a fault in the raw folder, for a
    split with an empty side, for existing files that differ (before anything is written), for files that cannot be
    written, and while another command changes the folder.
    """
    root = Path(root)
    ratio = DEFAULT_TEST_RATIO if test_ratio is None else float(test_ratio)
    wanted_seeds = DEFAULT_SEEDS if seeds is None else tuple(seeds)
    _check_arguments(ratio, wanted_seeds)
    release = read_release(root)
    if release.has_published_split:
        _refuse_split_options(release, test_ratio, seeds, stratified)
        wanted_seeds = ()
    _report_missing_metadata(release, listener)
    chosen = _choose_buckets(release, buckets, listener)
    features = tuple(find_released_features(release, chosen, listener))
    job = _PrepareJob(release, chosen, ratio, wanted_seeds if ratio else (), stratified, features)
    with nullcontext() if dry_run else dataset_lock(root):
        outcome = _write_files(job, force, dry_run, listener)
    if not dry_run:
        _warn_of_stale_files(job, outcome.replaced, listener)
    return PrepareResult(
        root,
        chosen,
        job.images_per_bucket,
        len(release.class_names),
        outcome.written,
        outcome.unchanged,
        tuple(of_name.name for of_name in features),
        release.has_published_split,
    )


@dataclass
class _PrepareJob:
    """The files to write. `seeds` is empty if no splits are wanted.

    `images_per_bucket` is filled in as the buckets are read for the first time.
    """

    release: Release
    buckets: tuple[str, ...]
    test_ratio: float
    seeds: tuple[int, ...]
    stratified: bool
    features: tuple[ReleasedFeatures, ...]
    images_per_bucket: dict[str, int] = field(default_factory=dict)

    def bucket_files(self, bucket: str) -> Iterator[WantedFile]:
        """The file list of a bucket, its splits and its features, read again each time; one is in memory at a time.

        After those of the last bucket comes the list of buckets.
        """
        # The images are searched for the first time only: the second time their names are enough.
        images = read_bucket(self.release, bucket, check_images=bucket not in self.images_per_bucket)
        lines = [line for of_part in images for line in filelist_lines(of_part)]
        self.images_per_bucket[bucket] = len(lines)
        yield wanted_bytes(layout.filelist_file(self.release.root, bucket), "\n".join(lines).encode())
        for folder, split in self.splits(bucket, images):
            for path, data in split_files(folder / bucket, lines, split, newline_at_end=self.stratified).items():
                yield wanted_bytes(path, data)
        for features in self.features:
            yield from wanted_features(self.release, features, bucket, images)
        if bucket == self.buckets[-1]:
            if not self.release.names_classes:
                file = layout.prepared_class_names_file(self.release.root)
                yield wanted_bytes(file, "\n".join(self.release.class_names).encode())
            file = layout.bucket_indices_file(self.release.root)
            yield wanted_bytes(file, json.dumps(list(self.buckets)).encode())

    def splits(self, bucket: str, images: Sequence[Sequence[LabeledImage]]) -> Iterator[tuple[Path, Split]]:
        """Each split of a bucket with the folder that holds its buckets."""
        root = self.release.root
        if self.release.has_published_split:
            first, second = map(len, images)
            yield layout.published_split_folder(root), Split(list(range(first)), list(range(first, first + second)))
            return
        labels = [image.class_index for of_part in images for image in of_part]
        for seed in self.seeds:
            if self.stratified:
                members = lines_by_class(labels, len(self.release.class_names))
                split = stratified_split(members, self.test_ratio, seed)
            else:
                split = random_split(len(labels), self.test_ratio, seed)
            self._check_sides(bucket, split)
            yield layout.ratio_split_folder(root, self.test_ratio, seed), split

    def _check_sides(self, bucket: str, split: Split) -> None:
        """Raise DatasetError if a side of the split is empty."""
        if split.train and split.test:
            return
        side = "train" if split.test else "test"
        per_class = " of each class" if self.stratified else ""
        num_images = len(split.train) + len(split.test)
        raise DatasetError(
            f"bucket {bucket} has {counted(num_images, 'image')}: a test ratio of {self.test_ratio}{per_class} "
            f"leaves its {side} set empty\n"
            "choose another --test-ratio (0: no split), or leave the bucket out with --buckets"
        )


def _write_files(job: _PrepareJob, force: bool, dry_run: bool, listener: Listener) -> WriteResult:
    return write_files(
        [partial(job.bucket_files, bucket) for bucket in job.buckets],
        force=force,
        dry_run=dry_run,
        listener=listener,
        check="check the labelled images",
        write="write file lists and splits",
        unit="buckets",
    )


def _report_missing_metadata(release: Release, listener: Listener) -> None:
    for folder in release.without_metadata:
        listener(Message(f"{folder} has no labeled_metadata.json: images are listed by class and file name"))
    if not release.names_classes:
        listener(Message("no class_names.txt: classes are numbered by the names of their folders, sorted"))


def _warn_of_stale_files(job: _PrepareJob, replaced: Sequence[Path], listener: Listener) -> None:
    """Warn of files made from replaced file lists: their lines mean other images now."""
    lists = [bucket for bucket in job.buckets if layout.filelist_file(job.release.root, bucket) in replaced]
    if not lists:
        return
    folder = layout.training_folder(job.release.root)
    fresh = {layout.ratio_split_folder(job.release.root, job.test_ratio, seed) for seed in job.seeds}
    fresh |= {layout.features_folder(job.release.root, features.name) for features in job.features}
    candidates = [*sorted(folder.glob("features/*")), *sorted(folder.glob("*/split_*"))]
    stale = [path for path in candidates if path not in fresh and any((path / bucket).exists() for bucket in lists)]
    if stale:
        names = ", ".join(str(path.relative_to(folder)) for path in stale)
        listener(Message(f"made from the replaced file lists, so make them again: {names}", warning=True))


def _check_arguments(test_ratio: float, seeds: Sequence[int]) -> None:
    """Raise UsageError for a ratio outside [0, 1) and for seeds that make no sense."""
    if not 0 <= test_ratio < 1:
        raise UsageError(f"--test-ratio {test_ratio} is not in the range 0 ≤ ratio < 1")
    check_seeds(seeds)
    if test_ratio and not seeds:
        raise UsageError("no seed is given; use --test-ratio 0 for no split")


def _refuse_split_options(
    release: Release, test_ratio: float | None, seeds: Sequence[int] | None, stratified: bool
) -> None:
    """Raise UsageError if the caller asks for a split of a release that is already split."""
    given = {"--test-ratio": test_ratio is not None, "--seeds": seeds is not None, "--stratified": stratified}
    refused = ", ".join(option for option, is_given in given.items() if is_given)
    if refused:
        train, test = (part.folder.name for part in release.parts)
        raise UsageError(
            f"{refused}: {release.root} is already split into {train}/ and {test}/, which is its iid split\n"
            f"leave the option out; to split {train}/ at random, use --dataset-root {release.root / train}"
        )


def _choose_buckets(release: Release, wanted: Sequence[str | int] | None, listener: Listener) -> tuple[str, ...]:
    """The buckets to prepare, in numeric order. Raises UsageError for others, none, or one twice."""
    if wanted is None:
        return _default_buckets(release, listener)
    return choose_buckets(release.root, release.buckets, wanted)


def _default_buckets(release: Release, listener: Listener) -> tuple[str, ...]:
    """All buckets, or those that the folder was prepared with before."""
    if release.unpaired:
        left = ", ".join(release.unpaired)
        listener(Message(f"left out because not in both train and test: bucket {left}", warning=True))
    try:
        before = layout.read_bucket_indices(release.root)
    except DatasetError:
        return release.buckets  # not prepared, or to be replaced: the difference is reported where the file is compared
    if not set(before) <= set(release.buckets):
        return release.buckets
    left_out = [name for name in release.buckets if name not in before]
    if left_out:
        names = ", ".join(left_out)
        listener(Message(f"bucket_indices.json does not list bucket {names}: left out (--buckets adds it)"))
    return tuple(name for name in release.buckets if name in before)
