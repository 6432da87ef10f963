"""Few-shot splits of a prepared folder: k images of each class to train on, in every bucket.

    training_folder/<shot>_shot/split_<seed>/<bucket>/{train,test}.txt, {train,test}_indices.json

The procedure is the published one, over the lines of all.txt. Where the release comes as train and test, the k images
are drawn from its train lines in that way and its test lines stay what is tested on, in their order.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clearctl import filelists, layout
from clearctl.dataset.arguments import check_seeds, choose_buckets
from clearctl.dataset.files import WantedFile, dataset_lock, wanted_bytes, write_files
from clearctl.dataset.splits import Split, few_shot_split, lines_by_class, split_files
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Listener, ignore
from clearctl.shortrepr import ShortRepr
from clearctl.wording import counted

DEFAULT_SHOT = 5
DEFAULT_SEEDS = (0,)


@dataclass(frozen=True, repr=False)
class FewshotResult(ShortRepr):
    """The result of `make_fewshot`, or of its dry run.

    `written` and `unchanged` count files: those made or replaced, and those that existed with the same bytes.
    `images_per_bucket` is {bucket: (number to train on, number to test on)}.
    """

    root: Path
    shot: int
    seeds: tuple[int, ...]
    images_per_bucket: dict[str, tuple[int, int]]
    num_classes: int
    written: int
    unchanged: int


def make_fewshot(
    root: Path | str,
    *,
    shot: int = DEFAULT_SHOT,
    seeds: Sequence[int] = DEFAULT_SEEDS,
    buckets: Sequence[str | int] | None = None,
    force: bool = False,
    dry_run: bool = False,
    listener: Listener = ignore,
) -> FewshotResult:
    """Write the few-shot split of each seed for each bucket of a prepared folder.

    Args:
        root: a folder that `prepare_avalanche` has prepared.
        shot: how many images of each class to train on, at least 1.
        seeds: one split each; distinct and not negative.
        buckets: only these; all when None.
        force: replace existing files that differ; without it they are an error.
        dry_run: compute and check everything, write nothing.
        listener: notified of each bucket checked and each file written.

    The split is used with `scenario=dict(evaluation_protocol='iid', shot=shot, seed=seed)`, on images and on features.
    A second run changes nothing. Raises UsageError for arguments that make no sense; DatasetError for a folder that is
    not prepared, a class with fewer than `shot` images in a bucket, a bucket that leaves nothing to test on, existing
    files that differ (before anything is written), files that cannot be written, and while another command changes the
    folder.
    """
    root = Path(root)
    if isinstance(shot, bool) or not isinstance(shot, int) or shot < 1:
        raise UsageError(f"--shot {shot} is not a whole number ≥ 1")
    check_seeds(seeds)
    if not seeds:
        raise UsageError("no seed is given: use --seed")
    chosen = choose_buckets(root, layout.read_bucket_indices(root), buckets)
    job = _FewshotJob(root, tuple(layout.read_class_names(root)), shot, tuple(seeds), {})
    with nullcontext() if dry_run else dataset_lock(root):
        outcome = write_files(
            [partial(job.bucket_files, bucket) for bucket in chosen],
            force=force,
            dry_run=dry_run,
            listener=listener,
            check="draw the splits",
            write="write the splits",
            unit="buckets",
        )
    return FewshotResult(
        root, shot, job.seeds, job.images_per_bucket, len(job.class_names), outcome.written, outcome.unchanged
    )


@dataclass(frozen=True)
class _FewshotJob:
    """The files to write; `images_per_bucket` is filled in as the buckets are read."""

    root: Path
    class_names: tuple[str, ...]
    shot: int
    seeds: tuple[int, ...]
    images_per_bucket: dict[str, tuple[int, int]]

    def bucket_files(self, bucket: str) -> Iterator[WantedFile]:
        """The files of a bucket, for one seed after another."""
        listed = layout.read_bucket_filelist(self.root, bucket, len(self.class_names))
        members = lines_by_class([label for _, label in listed], len(self.class_names))
        published_test: list[int] = []
        if layout.has_published_split(self.root):
            train, published_test = filelists.read_split(layout.published_split_folder(self.root) / bucket, listed)
            drawn_from = frozenset(train)
            members = [[number for number in of_class if number in drawn_from] for of_class in members]
        self._check(bucket, members, bool(published_test))
        lines = [f"{path} {label}" for path, label in listed]
        for seed in self.seeds:
            split = few_shot_split(members, self.shot, seed)
            if published_test:
                split = Split(split.train, published_test)
            self.images_per_bucket[bucket] = (len(split.train), len(split.test))
            folder = layout.shot_split_folder(self.root, self.shot, seed) / bucket
            for path, data in split_files(folder, lines, split, newline_at_end=True).items():
                yield wanted_bytes(path, data)

    def _check(self, bucket: str, members: Sequence[Sequence[int]], has_test: bool) -> None:
        """Raise DatasetError for a class with too few images, and for a bucket that leaves none to test on."""
        file = layout.filelist_file(self.root, bucket)
        for class_name, of_class in zip(self.class_names, members, strict=True):
            if len(of_class) < self.shot:
                found = counted(len(of_class), "image")
                raise DatasetError(
                    f"{file}: {found} of class {class_name!r} in bucket {bucket}, too few for "
                    f"--shot {self.shot}\nchoose a smaller --shot, or leave the bucket out with --buckets"
                )
        if not has_test and not any(len(of_class) > self.shot for of_class in members):
            raise DatasetError(f"{file}: --shot {self.shot} leaves no image of bucket {bucket} to test on")
