"""Preparing a folder: the bytes of the published procedures, idempotence, and what is refused."""

import json
import os
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from halting import Halt
from hypothesis import given, settings
from hypothesis import strategies as st
from published import prepared, published, stamps

from clearctl import layout
from clearctl.dataset.fewshot import make_fewshot
from clearctl.dataset.prepare import prepare_avalanche
from clearctl.dataset.splits import lines_by_class, random_split, stratified_split
from clearctl.errors import DatasetError, UsageError
from clearctl.progress import Counted, Message

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("stratified", [False, True])
def test_bytes_are_those_of_the_published_procedure(clear_folder, stratified):
    root = clear_folder(buckets=("10", "9", "0"), images={"camera": 11, "cup of tea": 4})
    random.seed(123)
    before = random.getstate()
    result = prepare_avalanche(root, stratified=stratified)
    assert random.getstate() == before
    assert prepared(root) == published(root, 0.3, range(5), stratified)
    assert result.root == root
    assert result.buckets == ("0", "9", "10")
    assert result.images_per_bucket == {"0": 22, "9": 22, "10": 22}
    assert result.num_classes == 3
    assert (result.written, result.unchanged) == (1 + 3 * (1 + 5 * 4), 0)


def test_known_bytes(clear_folder):
    """A split whose order was worked out once with Python's own module: it must never move."""
    root = clear_folder(buckets=("0",), classes=("a", "b"), images=5)
    prepare_avalanche(root, seeds=[0])
    folder = root / "training_folder/testset_ratio_0.3/split_0/0"
    assert (folder / "train_indices.json").read_text() == "[7, 8, 1, 5, 3, 4, 2]"
    assert (folder / "test_indices.json").read_text() == "[0, 9, 6]"
    assert not (folder / "test.txt").read_text().endswith("\n")


def test_other_ratio_and_seeds(clear_folder):
    root = clear_folder()
    prepare_avalanche(root, test_ratio=0.5, seeds=[7, 3])
    assert prepared(root) == published(root, 0.5, [7, 3])


def test_class_order_of_a_bucket_is_the_files(clear_folder):
    root = clear_folder()
    file = root / "labeled_metadata.json"
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "1": dict(reversed(value["1"].items()))}))
    for stratified in (False, True):
        prepare_avalanche(root, stratified=stratified, force=True)
        assert prepared(root) == published(root, 0.3, range(5), stratified)


def test_a_class_absent_from_a_bucket(clear_folder):
    root = clear_folder(images={("1", "camera"): 0, ("2", "cup of tea"): 0})
    for stratified in (False, True):
        prepare_avalanche(root, stratified=stratified, force=True)
        assert prepared(root) == published(root, 0.3, range(5), stratified)


def test_ratio_zero_makes_no_split(clear_folder):
    root = clear_folder(images=1)
    result = prepare_avalanche(root, test_ratio=0)
    assert prepared(root) == published(root, 0, [])
    assert result.written == 4


def test_chosen_buckets(clear_folder):
    root = clear_folder()
    result = prepare_avalanche(root, buckets=["2", "0"], seeds=[0])
    assert result.buckets == ("0", "2")
    assert json.loads((root / "training_folder/bucket_indices.json").read_text()) == ["0", "2"]
    assert not (root / "training_folder/filelists/1").exists()
    assert set(result.images_per_bucket) == {"0", "2"}


def test_a_fault_in_a_bucket_not_chosen_does_not_matter(clear_folder):
    root = clear_folder()
    (root / "labeled_metadata/1/camera.json").unlink()
    assert prepare_avalanche(root, buckets=["0", "2"]).buckets == ("0", "2")


def test_second_run_changes_nothing(clear_folder):
    root = clear_folder()
    first = prepare_avalanche(root)
    before = stamps(root)
    second = prepare_avalanche(root)
    assert stamps(root) == before
    assert (second.written, second.unchanged) == (0, first.written)


def test_what_is_missing_is_added(clear_folder):
    """As after a run that was killed, and as when more seeds are wanted."""
    root = clear_folder()
    prepare_avalanche(root)
    expected = prepared(root)
    folder = root / "training_folder"
    for gone in ("bucket_indices.json", "filelists/2/all.txt", "testset_ratio_0.3/split_1/0/test.txt"):
        (folder / gone).unlink()
    assert prepare_avalanche(root).written == 3
    assert prepared(root) == expected
    assert prepare_avalanche(root, seeds=[0, 5]).written == 12


def test_differing_file_stops_before_anything_is_written(clear_folder):
    root = clear_folder()
    prepare_avalanche(root)
    folder = root / "training_folder"
    (folder / "testset_ratio_0.3/split_1/2/test.txt").write_text("mine")
    (folder / "testset_ratio_0.3/split_2/2/test.txt").write_text("mine")
    (folder / "filelists/0/all.txt").unlink()
    before = stamps(root)
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert str(folder / "testset_ratio_0.3/split_1/2/test.txt") in str(error.value)
    assert "files that differ: 2;" in str(error.value)
    assert "--force" in str(error.value)
    assert stamps(root) == before
    result = prepare_avalanche(root, force=True)
    assert result.written == 3
    assert prepared(root) == published(root, 0.3, range(5))


def test_stratified_over_plain_and_fewer_buckets_are_differences(clear_folder):
    root = clear_folder()
    prepare_avalanche(root)
    before = stamps(root)
    with pytest.raises(DatasetError, match="split_0"):
        prepare_avalanche(root, stratified=True)
    with pytest.raises(DatasetError, match=r"bucket_indices\.json"):
        prepare_avalanche(root, buckets=["0"])
    assert stamps(root) == before


@pytest.mark.parametrize("force", [False, True])
def test_dry_run_writes_nothing(clear_folder, force):
    root = clear_folder()
    dry = prepare_avalanche(root, dry_run=True)
    assert not (root / "training_folder").exists()
    assert dry == prepare_avalanche(root)
    before = stamps(root)
    if force:
        assert prepare_avalanche(root, stratified=True, force=True, dry_run=True).written > 0
    else:
        with pytest.raises(DatasetError, match="--force"):
            prepare_avalanche(root, stratified=True, dry_run=True)
    assert stamps(root) == before


def test_replaced_lists_warn_of_what_was_made_from_them(clear_folder):
    root = clear_folder()
    prepare_avalanche(root)
    folder = root / "training_folder"
    for made in ("features/resnet50/1", "5_shot/split_0/1", "features/other/2"):
        (folder / made).mkdir(parents=True)
    file = root / "labeled_metadata/1/camera.json"
    records = json.loads(file.read_text())
    file.write_text(json.dumps(dict(reversed(records.items()))))
    events = []
    prepare_avalanche(root, seeds=[0, 1], force=True, listener=events.append)
    warnings = [event for event in events if isinstance(event, Message)]
    assert len(warnings) == 1
    assert warnings[0].warning
    for name in ("features/resnet50", "5_shot/split_0", "testset_ratio_0.3/split_2"):
        assert name in warnings[0].text
    for name in ("features/other", "testset_ratio_0.3/split_1"):
        assert name not in warnings[0].text


def test_progress_reaches_its_total(clear_folder):
    events = []
    result = prepare_avalanche(clear_folder(), listener=events.append)
    assert all(isinstance(event, Counted) for event in events)
    last = {event.work: event for event in events}
    assert [(event.done, event.total) for event in last.values()] == [
        (3, 3),
        (result.written, result.written),
    ]


@pytest.mark.parametrize("ratio", [-0.1, 1, 1.5, float("nan")])
def test_ratio_out_of_range(clear_folder, ratio):
    with pytest.raises(UsageError, match="--test-ratio"):
        prepare_avalanche(clear_folder(), test_ratio=ratio)


@pytest.mark.parametrize("seeds", [[-1], [0, 0], [1.5], ["1"], [True], []])
def test_seeds_that_make_no_sense(clear_folder, seeds):
    with pytest.raises(UsageError, match="seed"):
        prepare_avalanche(clear_folder(), seeds=seeds)


def test_unknown_bucket(clear_folder):
    root = clear_folder()
    with pytest.raises(UsageError) as error:
        prepare_avalanche(root, buckets=["1", "5"])
    assert "no bucket 5" in str(error.value)
    assert "0, 1, 2" in str(error.value)


@pytest.mark.parametrize("buckets", [[], ["1", "1"]])
def test_buckets_that_make_no_sense(clear_folder, buckets):
    with pytest.raises(UsageError, match="--buckets"):
        prepare_avalanche(clear_folder(), buckets=buckets)


def test_a_lone_string_is_one_bucket(clear_folder):
    assert prepare_avalanche(clear_folder(buckets=("0", "1", "10")), buckets="10").buckets == ("10",)


@pytest.mark.parametrize(("images", "stratified"), [(1, False), (3, True)])
def test_split_with_an_empty_side(clear_folder, images, stratified):
    root = clear_folder(images={("2", name): images for name in ("BACKGROUND", "camera", "cup of tea")})
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root, stratified=stratified)
    assert f"bucket 2 has {3 * images} images" in str(error.value)
    assert "test set empty" in str(error.value)
    assert not (root / "training_folder").exists()


def test_fault_of_the_last_bucket_is_found_before_anything_is_written(clear_folder):
    root = clear_folder()
    (root / "labeled_metadata/2/cup of tea.json").write_text("{")
    with pytest.raises(DatasetError, match="bucket 2, class 'cup of tea'"):
        prepare_avalanche(root)
    assert not (root / "training_folder").exists()


def test_a_file_where_the_folder_belongs(clear_folder):
    root = clear_folder()
    (root / "training_folder").write_text("")
    with pytest.raises(DatasetError) as error:
        prepare_avalanche(root)
    assert str(root / "training_folder") in str(error.value)


def test_a_folder_where_a_file_belongs(clear_folder):
    root = clear_folder()
    path = root / "training_folder/filelists/1/all.txt"
    path.mkdir(parents=True)
    with pytest.raises(DatasetError, match="cannot be read") as error:
        prepare_avalanche(root)
    assert str(path) in str(error.value)


def test_training_folder_on_a_disk_that_is_gone(clear_folder):
    root = clear_folder()
    (root / "training_folder").symlink_to(root.parent / "unplugged")
    with pytest.raises(DatasetError, match="cannot be written") as error:
        prepare_avalanche(root)
    assert str(root / "training_folder") in str(error.value)


def test_disk_full_in_the_middle_then_a_run_that_finishes(clear_folder):
    """A limit on the size of files stands in for a full disk: all.txt of bucket 1 is too large."""
    root = clear_folder(images={("1", "camera"): 40})
    program = textwrap.dedent(
        """
        import resource, sys
        from clearctl.dataset.prepare import prepare_avalanche
        from clearctl.errors import DatasetError
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        try:
            prepare_avalanche(sys.argv[1])
        except DatasetError as error:
            print(error)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert f"{root / 'training_folder/filelists/1/all.txt'} cannot be written: File too large" in done.stdout
    written = prepared(root)
    expected = published(root, 0.3, range(5))
    assert set(written) == {name for name in expected if "/0/" in name}
    assert written.items() <= expected.items()
    prepare_avalanche(root)
    assert prepared(root) == expected


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 5), max_size=60),
    test_ratio=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**64),
)
def test_splits_partition_and_repeat(labels, test_ratio, seed):
    plain = random_split(len(labels), test_ratio, seed)
    assert len(plain.test) == int(len(labels) * test_ratio)
    assert plain == random_split(len(labels), test_ratio, seed)
    members = lines_by_class(labels, 6)
    stratified = stratified_split(members, test_ratio, seed)
    assert stratified == stratified_split(members, test_ratio, seed)
    for label in set(labels):
        in_test = sum(labels[number] == label for number in stratified.test)
        assert in_test == int(labels.count(label) * test_ratio)
    for split in (plain, stratified):
        assert sorted(split.train + split.test) == list(range(len(labels)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), test_ratio=st.sampled_from([0.1, 0.25, 0.5, 0.99]), stratified=st.booleans())
def test_same_seed_same_bytes(tmp_path_factory, seed, test_ratio, stratified):
    roots = [fake_folder(tmp_path_factory.mktemp("clear")) for _ in range(2)]
    for root in roots:
        prepare_avalanche(root, seeds=[seed], test_ratio=test_ratio, stratified=stratified)
    assert prepared(roots[0]) == prepared(roots[1]) == published(roots[0], test_ratio, [seed], stratified)


def fake_folder(root: Path) -> Path:
    """A folder of one bucket whose images are empty files: quick enough for many examples."""
    classes = ("B", "a b")
    (root / "class_names.txt").write_text("\n".join(classes))
    for name in classes:
        (root / name).mkdir()
        records = {f"{name}{number}": {"IMG_PATH": f"{name}/{number}.jpg"} for number in range(20)}
        for record in records.values():
            (root / record["IMG_PATH"]).touch()
        (root / f"{name}.json").write_text(json.dumps(records))
    (root / "labeled_metadata.json").write_text(json.dumps({"0": {name: f"{name}.json" for name in classes}}))
    return root


def test_two_commands_on_one_folder(clear_folder):
    root = clear_folder()
    program = textwrap.dedent(
        """
        import pathlib, sys
        from clearctl.lock import file_lock
        with file_lock(pathlib.Path(sys.argv[1])):
            print(flush=True)
            input()
        """
    )
    arguments = [sys.executable, "-c", program, str(root / ".clearctl.lock")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as holder:
        holder.stdout.readline()
        for command in (prepare_avalanche, make_fewshot):
            if command is make_fewshot:
                layout.bucket_indices_file(root).parent.mkdir()
                layout.bucket_indices_file(root).write_text('["0"]')
            with pytest.raises(DatasetError, match=f"is being changed by process {holder.pid}\n"):
                command(root)
        layout.bucket_indices_file(root).unlink()
        assert prepare_avalanche(root, dry_run=True).written > 0
        assert list((root / "training_folder").iterdir()) == []
        holder.communicate(b"\n")
    assert prepare_avalanche(root).written > 0
    assert not (root / ".clearctl.lock").exists()


def test_killed_at_any_moment_leaves_whole_files_and_continues(clear_folder, tmp_path):
    root = clear_folder(buckets=tuple(map(str, range(6))))
    expected = published(root, 0.3, range(5))
    program = "import sys; from clearctl.dataset.prepare import prepare_avalanche; prepare_avalanche(sys.argv[1])"
    before = 0
    for there in (1, 20, 60):
        with Halt(tmp_path / "halt", f"{root}/*", there - before + 1, event="rename") as halt:
            command = [sys.executable, "-c", program, str(root)]
            halt.kill(subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **halt.environ}))
        assert len(whole_files(root)) == there
        before = there
        assert whole_files(root).items() <= expected.items()
        assert len(list(root.rglob(".*.tmp"))) == 1
    prepare_avalanche(root)
    assert whole_files(root) == expected
    assert not list(root.rglob(".*.tmp"))


def whole_files(root: Path) -> dict[str, bytes]:
    """What has its final name; a kill may leave a temporary file beside it."""
    folder = root / "training_folder"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
