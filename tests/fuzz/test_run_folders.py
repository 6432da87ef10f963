"""A run folder with anything in it leaves the report of the others as it is, or is one of them."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fuzz.mutating import TIMES, mutated
from report.folders import make_run

from clearctl import resume, rundir
from clearctl.config.load import dump
from clearctl.errors import ClearctlError
from clearctl.progress import Message
from clearctl.report.report import FORMATS, make_report, render

Mutation = Callable[[Path, random.Random], None]


def _json(file: Path, draw: random.Random) -> None:
    file.write_text(json.dumps(mutated(json.loads(file.read_text()), draw)))


def _lines(file: Path, draw: random.Random) -> None:
    lines = file.read_text().splitlines()
    index = draw.randrange(len(lines))
    lines[index] = json.dumps(mutated(json.loads(lines[index]), draw))
    file.write_text("\n".join(lines) + draw.choice(("\n", "")))


def _config(file: Path, draw: random.Random) -> None:
    file.write_text(dump(mutated(rundir.read_config(file.parent), draw)))


def _bytes(file: Path, draw: random.Random) -> None:
    data = bytearray(file.read_bytes())
    for _ in range(draw.randint(1, 4)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    file.write_bytes(data[: draw.choice((None, draw.randrange(len(data))))])


def _other(file: Path, draw: random.Random) -> None:
    file.unlink()
    what = draw.randrange(4)
    if what == 0:
        file.mkdir()
    elif what == 1:
        file.symlink_to(draw.choice(("/dev/zero", "nowhere", file.name)))
    elif what == 2:
        file.write_text(draw.choice(("", "[" * 100_000, "1" * 10_000, "null", "[]", "\x00", "﻿{}", "NaN")))


FILES: dict[str, tuple[Mutation, ...]] = {
    "config.py": (_config, _config, _bytes, _other),
    "environment.json": (_json, _json, _json, _bytes, _other),
    "metrics.jsonl": (_lines, _lines, _bytes, _other),
    "eval.json": (_json, _json, _json, _bytes, _other),
    "accuracy_matrix.csv": (_bytes, _bytes, _other),
}


@pytest.mark.parametrize("file", FILES)
def test_an_odd_run_folder_leaves_the_report_of_the_others(file: str, tmp_path: Path) -> None:
    make_run(tmp_path / "good", seed=1)
    sound = make_run(tmp_path / "sound", seed=2)
    draw = random.Random(f"{file} 1")
    refused = 0
    for number in range(60 * TIMES):
        odd = tmp_path / "odd"
        shutil.rmtree(odd, ignore_errors=True)
        shutil.copytree(sound, odd)
        draw.choice(FILES[file])(odd / file, draw)
        said: list[str] = []
        groups = make_report(
            [tmp_path / "good", odd],
            force=True,
            include_diverged=True,
            listener=lambda event, said=said: said.append(event.text) if isinstance(event, Message) else None,
        )
        folders = {run.folder.name for group in groups for run in group.runs}
        assert folders in ({"good"}, {"good", "odd"})
        if "odd" not in folders:
            refused += 1
            assert any(str(odd) in text for text in said), number
        for format in FORMATS:
            if format != "terminal" and number % 3 == 0:
                render(groups, format)
        if number % 4 == 0:
            (odd / "state").mkdir(exist_ok=True)
            (odd / "state/bucket_0001.state").write_bytes(b"a state, so that it is not finished")
            with pytest.raises(ClearctlError) as caught:
                resume(odd)
            assert caught.value.exit_code > 1
    assert refused > 10
