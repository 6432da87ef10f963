"""State files are whole or not there, are refused when they are not what was written, and two generations stay."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clearctl.engine.states import files as state_files
from clearctl.engine.states.files import DamagedStateError, StateKey

STATE: dict[str, Any] = {"strategy": ("list", 0, [1, torch.arange(5)]), "files": {}}
MOMENTS = st.builds(StateKey, st.integers(0, 20_000), st.integers(-1, 20_000), st.just(0)) | st.builds(
    StateKey, st.integers(0, 99), st.integers(0, 99), st.integers(0, 2_000_000)
)


@given(st.lists(MOMENTS, unique=True, max_size=8))
def test_names_say_the_moment_and_sort_with_it(
    tmp_path_factory: pytest.TempPathFactory, state_keys: list[StateKey]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    for key in state_keys:
        (folder / key.file_name).touch()
    (folder / "bucket_1.state.part").touch()
    assert state_files.state_keys(folder) == sorted(state_keys)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    state_files.write(tmp_path, StateKey(3), STATE)
    found = state_files.read(tmp_path, StateKey(3))
    assert torch.equal(found["strategy"][2][1], torch.arange(5))
    assert [path.name for path in tmp_path.iterdir()] == ["bucket_0003.state"]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "a byte short": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "garbage": lambda content: random.Random(0).randbytes(500),
    "its first line alone": lambda content: content.partition(b"\n")[0],
    "another file": lambda content: b"clearctl state 1 sha256 0\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_not_what_was_written_is_reported(tmp_path: Path, damage: str) -> None:
    state_files.write(tmp_path, StateKey(3), STATE)
    file = tmp_path / "bucket_0003.state"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    with pytest.raises(DamagedStateError, match=r"^bucket_0003\.state is damaged: its digest does not match$"):
        state_files.read(tmp_path, StateKey(3))


def test_every_single_bit_counts(tmp_path: Path) -> None:
    state_files.write(tmp_path, StateKey(0), STATE)
    file = tmp_path / "bucket_0000.state"
    whole = file.read_bytes()
    for place in random.Random(0).sample(range(len(whole) * 8), 100):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(DamagedStateError):
            state_files.read(tmp_path, StateKey(0))


def test_a_file_that_needs_code_is_refused(tmp_path: Path) -> None:
    state_files.write(tmp_path, StateKey(0), {"strategy": os.getcwd})
    with pytest.raises(DamagedStateError, match="cannot be read: Weights only load failed"):
        state_files.read(tmp_path, StateKey(0))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DamagedStateError, match=r"bucket_0001\.state cannot be read: No such file"):
        state_files.read(tmp_path, StateKey(1))


def test_two_generations_of_each_kind_stay_and_each_has_its_start(tmp_path: Path) -> None:
    for bucket in range(4):
        state_files.write(tmp_path, StateKey(bucket), STATE)
        for epochs in range(1, 4):
            state_files.write(tmp_path, StateKey(bucket, epochs), STATE)
            there = state_files.state_keys(tmp_path)
            assert StateKey(bucket, epochs) in there
            assert len([key for key in there if key.is_start]) == min(bucket + 1, 2)
            assert len([key for key in there if not key.is_start]) == min(bucket * 3 + epochs, 2)
            assert all(key.start in there for key in there)


def test_what_was_gone_back_behind_is_removed(tmp_path: Path) -> None:
    for key in (StateKey(0), StateKey(0, 1), StateKey(1), StateKey(1, 1)):
        state_files.write(tmp_path, key, STATE)
    state_files.write(tmp_path, StateKey(0, 2), STATE)
    with pytest.raises(OSError, match="the state of the bucket's start is missing"):
        state_files.write(tmp_path, StateKey(1, 1), STATE)
    assert state_files.state_keys(tmp_path) == [StateKey(0), StateKey(0, 1), StateKey(0, 2)]


def test_a_write_that_fails_leaves_all_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state_files.write(tmp_path, StateKey(0), STATE)
    before = (tmp_path / "bucket_0000.state").read_bytes()

    def fail(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    for key in (StateKey(0), StateKey(0, 1)):
        with pytest.raises(OSError, match="No space"):
            state_files.write(tmp_path, key, STATE)
    assert [path.name for path in tmp_path.iterdir()] == ["bucket_0000.state"]
    assert (tmp_path / "bucket_0000.state").read_bytes() == before


def test_a_run_folder_that_was_removed_does_not_come_back(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        state_files.write(tmp_path / "run" / "state", StateKey(0), STATE)
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_run_leaves_nothing_and_takes_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "state"
    for key in (StateKey(0), StateKey(0, 1), StateKey(1), StateKey(1, 1), StateKey(1, 2)):
        state_files.write(folder, key, STATE)
    (folder / ".bucket_0001.state.abcdefg0.tmp").touch()
    taken: list[str] = []
    unlink = Path.unlink

    def watched(path: Path, missing_ok: bool = False) -> None:
        taken.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", watched)
    state_files.remove_all(folder)
    assert not folder.exists()
    starts = {name: number for number, name in enumerate(taken) if name.count("_") == 1}
    for number, name in enumerate(taken):
        if "epoch" in name:
            assert number < starts[f"{name[:11]}.state"]


def test_one_state_in_place_of_all(tmp_path: Path) -> None:
    for key in (StateKey(0), StateKey(0, 1), StateKey(1), StateKey(1, 1)):
        state_files.write(tmp_path, key, STATE)
    state_files.replace_all(tmp_path, StateKey(1), {"files": {}})
    assert state_files.state_keys(tmp_path) == [StateKey(1)]
    assert state_files.read(tmp_path, StateKey(1)) == {"files": {}}
