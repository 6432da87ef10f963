"""Every command of the README and its pages is run, in order, in a folder that starts empty but for the configs."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from halting import Halt, lines_until
from warm import deliver_sigint, run_warm, words_of

ROOT = Path(__file__).parents[1]
NEEDS_CLEAR = (
    "clearctl prepare-avalanche",
    "clearctl extract-features --arch resnet50",
    "clearctl train configs/demo_feature.py",
)
NOWHERE = "http://127.0.0.1:9"  # as a proxy it lets nothing out
# A selection is run with one seed and one epoch: 4 runs instead of 12.
SMALLER = ("--seeds 0-2", "--seeds 0 --set cl_strategy.train_epochs=1")
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
# In this order: what a page runs, those after it find. A block of the language sh is run; others are only parsed.
PAGES = [
    README,
    *(ROOT / "docs" / f"{name}.md" for name in ("train", "sweep", "choosing", "report", "online", "reproducibility")),
]


def shell_blocks(page: Path) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def shell_commands() -> list[str]:
    lines = [line for page in PAGES for block in shell_blocks(page) for line in block.splitlines()]
    return [line.replace(*SMALLER) if "--select" in line else line for line in lines]


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": "", "NO_COLOR": "1"}
    found.update(http_proxy=NOWHERE, https_proxy=NOWHERE)
    found.pop("CLEARCTL_DATASET_ROOT", None)
    return found


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if command.startswith("clearctl "):
        (ended,) = run_warm(command, folder, environment())
        return ended
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def stopped_on_the_way(command: str, folder: Path) -> None:
    """Run a training command and press Ctrl-C in its second bucket, where it waits for that."""
    lines = 12 + 10  # of a bucket: its epochs, and its tests
    with Halt(folder.with_name("halt"), f"{folder}/work_dirs/*/metrics.jsonl", lines + 5) as halt:
        (words,) = words_of(command, folder, environment())
        process = subprocess.Popen(
            [sys.executable, "-m", "clearctl", *words],
            cwd=folder,
            env={**environment(), **halt.environ},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=deliver_sigint,
        )
        assert process.stderr is not None
        reported = lines_until(process.stderr, "bucket 1 (1/10): accuracy")
        halt.reached(process)
        process.send_signal(signal.SIGINT)
        reported += process.stderr.read().splitlines()
    assert process.wait() == 130, reported
    assert reported[-1].startswith("resume with `clearctl resume ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the configs where a clone has them."""
    place = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "configs", place / "configs")
    return place


@pytest.mark.slow
@pytest.mark.longest
def test_every_command_of_the_readme_and_its_pages(folder):
    for command in shell_commands():
        if command.startswith("make "):  # these are this very test run and `clearctl demo`, which follows
            recipe = run(f"make -n -C {ROOT} {command.removeprefix('make ')}", folder).stdout
            assert {"make demo": "clearctl demo", "make test": "pytest"}[command] in recipe
            continue
        if command.endswith("# and press Ctrl-C"):
            stopped_on_the_way(command, folder)
            continue
        result = run(command, folder)
        if command in NEEDS_CLEAR:  # CLEAR itself is not here: the message must help
            assert result.returncode == 4
            assert "dataset/CLEAR-10-PUBLIC" in result.stderr
        elif command.startswith("clearctl download"):  # nor is a network: `run` sees to that
            assert result.returncode == 6
            assert "clear10-public.zip" in result.stderr
        elif "--device cuda" in command:  # nor is a GPU: everything before it was found right
            assert result.returncode == 6, result.stderr
        else:
            assert result.returncode == 0, (command, result.stderr)
        if command.startswith("clearctl resume"):
            assert "resuming" in result.stderr
            assert "in_domain" in result.stdout
        if "--output report.html" in command:
            assert "<html" in (folder / "report.html").read_text()
        if command == "clearctl demo":
            demo_shows_what_the_readme_says(result)


def demo_shows_what_the_readme_says(result: subprocess.CompletedProcess[str]) -> None:
    rows = [
        [float(number) for number in line.split()]
        for line in result.stdout.splitlines()
        if re.fullmatch(r"\s*\d+( +\d+\.\d){10}\s*", line)
    ]
    matrix = [row[1:] for row in rows]
    assert len(matrix) == 10
    diagonal = [matrix[i][i] for i in range(10)]
    assert sum(diagonal) / 10 > 85
    assert min(diagonal) > 60  # chance is 9
    assert matrix[9][0] < 50  # what came first is forgotten
    assert matrix[0][9] < 50  # what comes last is not known yet


@pytest.mark.slow
def test_the_fault_that_the_page_on_training_shows(folder):
    text = (ROOT / "docs" / "train.md").read_text()
    command, *expected = re.search(r"```\n\$ (.*?)```", text, re.DOTALL)[1].strip().splitlines()
    result = run(command, folder)
    assert result.returncode == 3
    assert result.stderr.strip().splitlines() == expected


def test_pages_with_commands_to_run_are_run():
    """Those of predict.md and own-data.md have tests of their own."""
    others = {ROOT / "docs" / "predict.md", ROOT / "docs" / "own-data.md"}
    assert {page for page in (ROOT / "docs").glob("*.md") if shell_blocks(page)} == {*PAGES[1:], *others}


def test_the_chinese_readme_has_the_same_blocks():
    blocks = [
        re.findall(r"^```.*?^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE) for page in (README, CHINESE)
    ]
    assert blocks[0] == blocks[1]
    assert len(blocks[0]) >= 3


def test_the_readme_is_short():
    """What a newcomer needs in two minutes; the rest belongs on the pages."""
    assert len(README.read_text().split()) < 900


@pytest.mark.parametrize("page", [README, CHINESE, ROOT / "CONTRIBUTING.md", ROOT / "Makefile", *PAGES[1:]], ids=str)
def test_the_versions_of_python_are_those_of_the_package(page):
    classifiers = (ROOT / "pyproject.toml").read_text()
    minors = sorted(int(minor) for minor in re.findall(r"Python :: 3\.(\d+)", classifiers))
    said = re.findall(r"3\.(\d+)(?: to | 至 |–)3\.(\d+)", page.read_text("utf-8"))
    assert {(int(first), int(last)) for first, last in said} <= {(minors[0], minors[-1])}


def test_the_chinese_readme_has_the_same_parts_links_and_code():
    def links(text: str) -> list[str]:
        return sorted(re.findall(r"\]\(([^)]+)\)", text))

    def code(text: str) -> set[str]:
        return set(re.findall(r"`([^`\n]+)`", text))

    english, chinese = (page.read_text(encoding="utf-8") for page in (README, CHINESE))
    assert links(english.replace("(README.zh-CN.md)", "(README)")) == links(chinese.replace("(README.md)", "(README)"))
    assert len(re.findall(r"^## ", english, re.MULTILINE)) == len(re.findall(r"^## ", chinese, re.MULTILINE))
    assert code(english) == code(chinese)
    assert english.splitlines()[2] == "[中文](README.zh-CN.md)"
    assert chinese.splitlines()[2] == "[English](README.md)"
