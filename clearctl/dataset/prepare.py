"""Turn a raw CLEAR folder into a prepared one: bucket_indices.json, file lists, and the iid splits.

    training_folder/bucket_indices.json
    training_folder/filelists/<bucket>/all.txt
    training_folder/testset_ratio_<r>/split_<seed>/<bucket>/{train,test}.txt, {train,test}_indices.json

The procedures are those by which the published folders were made, so that a published folder and one made
here are the same bytes. Two passes, a bucket at a time: the first reads, checks and compares everything, the
second writes what is not there; so a fault in the last bucket is found before the first file is written.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clearctl import layout
from clearctl.atomic import write_bytes
from clearctl.dataset.labeled import LabeledImage, LabeledIndex, read_index, read_labeled_bucket
from clearctl.dataset.splits import Split, filelist_lines, random_split, split_files, stratified_split
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted, Listener, Message, ignore

DEFAULT_TEST_RATIO = 0.3
DEFAULT_SEEDS = (0, 1, 2, 3, 4)


@dataclass(frozen=True)
class PrepareResult:
    """What `prepare_avalanche` did, or would do in a dry run.

    `written` and `unchanged` count files: those made or replaced, and those that were there with the same
    bytes. `images_per_bucket` is {bucket: number of images} for `buckets`, which are in the order of the
    stream.
    """

    root: Path
    buckets: tuple[str, ...]
    images_per_bucket: dict[str, int]
    num_classes: int
    written: int
    unchanged: int


def prepare_avalanche(
    root: Path | str,
    *,
    test_ratio: float = DEFAULT_TEST_RATIO,
    seeds: Sequence[int] = DEFAULT_SEEDS,
    stratified: bool = False,
    buckets: Sequence[str] | None = None,
    force: bool = False,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> PrepareResult:
    """Write bucket_indices.json, the file lists and, for each seed, the train and test split of each bucket.

    Args:
        root: a dataset folder in the public layout.
        test_ratio: the share of each bucket that goes to the test set, 0 ≤ test_ratio < 1; 0 makes no splits.
        seeds: one split each; distinct and not negative. Unused where `test_ratio` is 0.
        stratified: take `test_ratio` of every class rather than of the bucket (`stratified_split`).
        buckets: the buckets to prepare, in numeric order whatever the order here; all when None.
        force: replace existing files that differ; without it they are an error.
        dry_run: compute and check everything, write nothing.
        listener: told of each bucket checked and each file written.

    A second run changes nothing and reports every file as unchanged. A killed run leaves whole files, and
    the next one adds the rest; bucket_indices.json comes last, so a folder that has it is prepared.

    Raises UsageError for arguments that make no sense; DatasetError for a fault in the raw folder, for a
    split with an empty side, for existing files that differ (before anything is written), and for files that
    cannot be written.
    """
    root = Path(root)
    _check_arguments(test_ratio, seeds)
    index = read_index(root)
    chosen = _choose_buckets(root, list(index.class_files), buckets)
    job = _Job(root, index, chosen, float(test_ratio), tuple(seeds) if test_ratio else (), stratified)
    survey = _survey(job, listener)
    if survey.differing and not force:
        raise DatasetError(
            f"{survey.differing[0]} is there already, with other contents\n"
            f"nothing was written; files that differ: {len(survey.differing)}; use --force to replace them"
        )
    if not dry_run:
        _write(job, survey, listener)
        _warn_of_stale_files(job, survey.differing, listener)
    return PrepareResult(
        root,
        chosen,
        survey.images_per_bucket,
        len(index.class_names),
        written=len(survey.outstanding),
        unchanged=survey.unchanged,
    )


@dataclass(frozen=True)
class _Job:
    """What is to be there in the end. `seeds` is empty where no splits are wanted."""

    root: Path
    index: LabeledIndex
    buckets: tuple[str, ...]
    test_ratio: float
    seeds: tuple[int, ...]
    stratified: bool

    def bucket_indices(self) -> tuple[Path, bytes]:
        """The list of the buckets."""
        return layout.bucket_indices_file(self.root), json.dumps(list(self.buckets)).encode()

    def bucket_files(self, bucket: str, images: Sequence[LabeledImage]) -> Iterator[tuple[Path, bytes]]:
        """The file list of a bucket, then its splits; only one split is in memory at a time."""
        lines = filelist_lines(images)
        yield layout.filelist_file(self.root, bucket), "\n".join(lines).encode()
        labels = [image.class_index for image in images]
        for seed in self.seeds:
            if self.stratified:
                split = stratified_split(labels, self.test_ratio, seed)
            else:
                split = random_split(len(lines), self.test_ratio, seed)
            self._check_sides(bucket, split)
            folder = layout.ratio_split_folder(self.root, self.test_ratio, seed) / bucket
            yield from split_files(folder, lines, split, newline_at_end=self.stratified).items()

    def _check_sides(self, bucket: str, split: Split) -> None:
        """Raise DatasetError if a side of the split is empty."""
        if split.train and split.test:
            return
        side = "train" if split.test else "test"
        per_class = " of each class" if self.stratified else ""
        num_images = len(split.train) + len(split.test)
        raise DatasetError(
            f"bucket {bucket} has {num_images} images: a test ratio of {self.test_ratio}{per_class} "
            f"leaves its {side} set empty\n"
            "choose another --test-ratio (0: no split), or leave the bucket out with --buckets"
        )


@dataclass
class _Survey:
    """How the wanted files compare with those that are there: `outstanding` are missing or differ."""

    images_per_bucket: dict[str, int] = field(default_factory=dict)
    incomplete_buckets: list[str] = field(default_factory=list)
    outstanding: set[Path] = field(default_factory=set)
    differing: list[Path] = field(default_factory=list)
    unchanged: int = 0

    def compare(self, path: Path, wanted: bytes) -> None:
        """Note how the file at `path` compares with `wanted`. Raises DatasetError."""
        found = _read_if_there(path)
        if found == wanted:
            self.unchanged += 1
            return
        if found is not None:
            self.differing.append(path)
        self.outstanding.add(path)


def _survey(job: _Job, listener: Listener) -> _Survey:
    """The first pass: read and check every bucket, compare what is there. Raises DatasetError."""
    survey = _Survey()
    for done, bucket in enumerate(job.buckets, 1):
        images = read_labeled_bucket(job.root, bucket, job.index)
        survey.images_per_bucket[bucket] = len(images)
        before = len(survey.outstanding)
        for path, data in job.bucket_files(bucket, images):
            survey.compare(path, data)
        if len(survey.outstanding) > before:
            survey.incomplete_buckets.append(bucket)
        listener(Counted("check the labelled images", done, len(job.buckets), "buckets"))
    survey.compare(*job.bucket_indices())
    return survey


def _write(job: _Job, survey: _Survey, listener: Listener) -> None:
    """The second pass: write what is outstanding, the list of buckets last. Raises DatasetError."""
    done = 0
    for path, data in _files_again(job, survey.incomplete_buckets):
        if path in survey.outstanding:
            _write_file(path, data)
            done += 1
            listener(Counted("write file lists and splits", done, len(survey.outstanding), "files"))


def _files_again(job: _Job, buckets: Iterable[str]) -> Iterator[tuple[Path, bytes]]:
    """The files of some buckets, made anew to hold one bucket at a time, then the list of all buckets."""
    for bucket in buckets:
        # The first pass has seen the images; only their names are needed now.
        images = read_labeled_bucket(job.root, bucket, job.index, check_images=False)
        yield from job.bucket_files(bucket, images)
    yield job.bucket_indices()


def _warn_of_stale_files(job: _Job, replaced: Sequence[Path], listener: Listener) -> None:
    """Say which files made from replaced file lists are still there: their lines mean other images now."""
    lists = [bucket for bucket in job.buckets if layout.filelist_file(job.root, bucket) in replaced]
    if not lists:
        return
    folder = layout.training_folder(job.root)
    fresh = {layout.ratio_split_folder(job.root, job.test_ratio, seed) for seed in job.seeds}
    candidates = [
        *sorted(folder.glob("features/*")),
        *(path for path in sorted(folder.glob("*/split_*")) if path not in fresh),
    ]
    stale = [path for path in candidates if any((path / bucket).exists() for bucket in lists)]
    if stale:
        names = ", ".join(str(path.relative_to(folder)) for path in stale)
        listener(Message(f"made from the file lists that were replaced, to be made again: {names}", warning=True))


def _check_arguments(test_ratio: float, seeds: Sequence[int]) -> None:
    """Raise UsageError for a ratio outside [0, 1) and for seeds that are not distinct ints ≥ 0."""
    if not 0 <= test_ratio < 1:
        raise UsageError(f"--test-ratio {test_ratio} is not in the range 0 ≤ ratio < 1")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UsageError(f"the seed {seed!r} is not a whole number ≥ 0")
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"a seed is given twice: {', '.join(map(str, seeds))}")
    if test_ratio and not seeds:
        raise UsageError("no seed is given; for no split at all use --test-ratio 0")


def _choose_buckets(root: Path, present: list[str], wanted: Sequence[str] | None) -> tuple[str, ...]:
    """The buckets to prepare, in the order of `present`. Raises UsageError for others, none, or one twice."""
    if wanted is None:
        return tuple(present)
    # A lone string is a sequence of its digits: "10" would mean buckets 1 and 0.
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    unknown = [name for name in names if name not in present]
    if unknown:
        raise UsageError(f"{root} has no bucket {', '.join(unknown)}; it has {', '.join(present)}")
    if not names:
        raise UsageError("--buckets names no bucket; leave it out for all")
    if len(set(names)) < len(names):
        raise UsageError(f"--buckets names one twice: {', '.join(names)}")
    return tuple(name for name in present if name in names)


def _read_if_there(path: Path) -> bytes | None:
    """The bytes of `path`, or None where there is no such file. Raises DatasetError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None


def _write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` whole or not at all. Raises DatasetError."""
    try:
        write_bytes(path, data)
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}") from None
