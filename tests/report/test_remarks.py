"""What is said of a report's numbers: runs that differ in anything that was recorded are apart, or it is noted."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report.folders import MATRIX, groups_of, make_run
from report.latex_tables import columns

from clearctl.report.groups import Group
from clearctl.report.latex import render_latex
from clearctl.report.markdown import escaped, render_markdown
from clearctl.report.page import render_page
from clearctl.report.records import render_csv, render_json, units_of
from clearctl.report.remarks import remarks

STREAMING = {"scenario.evaluation_protocol": "streaming"}


def texts(folder: Path, **how: Any) -> list[str]:
    return [remark.text for remark in remarks(groups_of(folder, **how))]


DATA: dict[str, Any] = {
    "clearctl": "0.2.0",
    "python": "3.12.1",
    "platform": "Darwin",
    "packages": {"torch": "2.12.0", "torchvision": "0.26.0", "avalanche-lib": "0.6.0", "numpy": "2.4.0"},
    "device": "cuda:0",
    "device_name": "NVIDIA H200",
    "torch_threads": 8,
    "processes": 2,
    "git": "0" * 40,
    "stacked": 3,
    "graph": True,
    "dataset": {"features": "1" * 64},
    "weights": {"load_from": "2" * 64},
    "resumed": [{"at": "now", "accepted": ["version: torch was 2.10.0, and is 2.11.0"], "moved": []}],
}


@given(chosen=st.sets(st.sampled_from([*DATA, "fingerprint", "filelists", "class_names"]), min_size=1))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=30)
def test_runs_that_differ_in_what_was_recorded_are_apart_or_noted(
    chosen: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("runs")
    environment: dict[str, Any] = {name: DATA[name] for name in DATA if name in chosen}
    of_dataset = {name: "3" * 64 for name in ("fingerprint", "filelists") if name in chosen}
    of_dataset |= {"class_names": ["a", "b"]} if "class_names" in chosen else {}
    environment["dataset"] = {**environment.get("dataset", {}), **of_dataset}
    make_run(root / "0", MATRIX, 0)
    make_run(root / "1", MATRIX, 1, environment=environment)
    groups = groups_of(root)
    apart = chosen & {"dataset", "weights", "filelists", "class_names"}
    assert len(groups) == (2 if apart else 1)
    if apart:
        assert groups[0].label != groups[1].label
        return
    noted = remarks(groups)
    assert len(noted) == len(chosen)  # each by one of its own
    assert all(remark.group == 0 and remark.text.startswith("naive: ") for remark in noted)
    assert len({remark.text for remark in noted}) == len(noted)


def test_what_the_remarks_say(tmp_path: Path) -> None:
    make_run(tmp_path / "0", MATRIX, 0)
    make_run(tmp_path / "1", MATRIX, 1)
    make_run(tmp_path / "2", MATRIX, 2, environment={name: DATA[name] for name in ("packages", "resumed")})
    assert texts(tmp_path) == [
        "naive: the version of torch differs: 2.11.0 (seeds 0, 1), 2.12.0 (seed 2)",
        "naive: seed 2 was resumed with changes: version: torch was 2.10.0, and is 2.11.0",
    ]


def test_a_git_commit_is_shortened(tmp_path: Path) -> None:
    for seed, commit in enumerate(("ab" * 20, f"{'ab' * 20}-dirty")):
        make_run(tmp_path / str(seed), MATRIX, seed, environment={"git": commit})
    what = "the git commit of the working directory differs"
    assert texts(tmp_path) == [f"naive: {what}: abababababab (seed 0), abababababab-dirty (seed 1)"]


def test_how_a_setting_was_chosen_is_no_warning(tmp_path: Path) -> None:
    chosen = {"metric": "validation.accuracy", "first": None, "chosen": "naive", "tried": 3, "seeds": 1}
    (make_run(tmp_path / "0", MATRIX, 0) / "selection.json").write_text(json.dumps(chosen))
    make_run(tmp_path / "1", MATRIX, 1, environment={"git": "0" * 40})
    assert {remark.text.partition(": ")[2].split()[0]: remark.warns for remark in remarks(groups_of(tmp_path))} == {
        "chosen": False,
        "the": True,
    }


def test_runs_of_one_split_seed_that_learned_from_other_splits(tmp_path: Path) -> None:
    for seed, print_ in enumerate("001"):
        values = {"scenario.seed": 7}
        make_run(tmp_path / str(seed), MATRIX, seed, environment={"dataset": {"fingerprint": print_ * 64}}, **values)
    expected = (
        "naive: seeds 0, 1 and seed 2 were trained on different splits of split seed 7, although their configs agree"
    )
    assert texts(tmp_path) == [expected]


@pytest.mark.parametrize(("size", "alpha", "noted"), [(24, 1.0, True), (25, 1.0, False), (24, 0.9, False)])
def test_a_memory_of_the_newest_bucket_is_noted(size: int, alpha: float, noted: bool, tmp_path: Path) -> None:
    buffer = dict(type="BiasedReservoirSamplingBuffer", max_size=size, alpha_mode="Dynamic", alpha_value=alpha)
    make_run(tmp_path / "0", MATRIX, **{"cl_strategy.type": "Replay", "cl_strategy.buffer": buffer})
    assert [text.partition(" (")[0] for text in texts(tmp_path)] == (
        ["naive: its memory contains samples of the newest bucket only"] if noted else []
    )


def diverged(bucket: str) -> dict[str, Any]:
    return {"bucket": bucket, "epoch": 1, "reason": "the loss is nan"}


def test_divergence_is_in_every_format(tmp_path: Path) -> None:
    for seed in range(5):
        make_run(tmp_path / str(seed), MATRIX, seed, diverged=diverged("2") if seed == 3 else None)
    groups = groups_of(tmp_path)
    text = "naive: 1 of 5 runs diverged (seed 3 in bucket 2), left out of the means"
    assert text in render_page(groups)
    assert escaped(text) in render_markdown(groups)
    assert text in render_latex(groups)
    found = json.loads(render_json(groups))
    assert text in found["notes"]
    [group] = found["groups"]
    assert (group["n"], group["diverged"], group["runs"][3]["diverged"]) == (4, 1, diverged("2"))
    [row] = csv.DictReader(io.StringIO(render_csv(groups)))
    assert (row["n"], row["runs"], row["diverged"], row["notes"]) == ("4", "5", "1", f"{units_of({})} | {text}")
    assert texts(tmp_path, include_diverged=True) == [text.replace("left out of", "included in")]


def test_where_all_runs_diverged_every_format_has_no_number(tmp_path: Path) -> None:
    make_run(tmp_path / "0", MATRIX, 0, diverged=diverged("0"))
    groups = groups_of(tmp_path)
    assert "1 of 1 run diverged" in render_page(groups)
    assert "| naive | 0 | - | - | - | - | - | - | - | - |" in render_markdown(groups)
    assert [cells["naive"] for cells in columns(render_latex(groups)).values()] == ["-"] * 8
    [row] = csv.DictReader(io.StringIO(render_csv(groups)))
    assert (row["n"], row["accuracy_mean"]) == ("0", "")
    assert json.loads(render_json(groups))["groups"][0]["numbers"] == {}


def streaming(folder: Path) -> list[Group]:
    for value, kind in ((0.8, "Naive"), (0.9, "Replay")):
        for seed in (0, 1):
            matrix = [[value + seed / 1000] * 3] * 3
            make_run(folder / f"{kind}-{seed}", matrix, seed, **STREAMING, **{"cl_strategy.type": kind})
    return groups_of(folder)


def test_every_format_names_the_protocol_and_marks_what_is_on_training_images(tmp_path: Path) -> None:
    groups = streaming(tmp_path)
    titles = ("next-domain", "forward transfer", "in-domain†", "accuracy†", "backward transfer†", "GEM FWT", "GEM BWT†")
    order = " | ".join(f"{title.removesuffix('†')} (%){'†' * title.endswith('†')}" for title in titles)
    text = render_markdown(groups)
    assert f"| group | n | {order} | training (s) |" in text
    assert "streaming protocol" in text
    assert "† on training images" in text
    bold = [[cell.startswith("**") for cell in line.split(" | ")[2:7]] for line in text.splitlines()[4:6]]
    assert bold == [5 * [False], [True, True, False, False, False]]
    text = render_latex(groups)
    headings = [heading.replace("- ", "-").replace(r"$^\dagger$", "†") for _, heading in columns(text)]
    assert headings[:7] == [title.removeprefix("GEM ") for title in titles]
    assert "$^\\dagger$ on training images: " in text
    assert "streaming protocol" in text
    text = render_page(groups)
    assert "streaming protocol" in text
    assert "† on training images: " in text
    assert text.index("next-domain</button>") < text.index("in-domain†</button>") < text.index("accuracy†</button>")
    assert "the diagonal and below it are on training images" in text
    marked = ["in_domain", "accuracy", "backward_transfer", "gem_bwt"]
    rows = list(csv.DictReader(io.StringIO(render_csv(groups))))
    assert [(row["protocol"], row["on_training_images"].split()) for row in rows] == 2 * [("streaming", marked)]
    assert all("† on training images" in row["notes"] for row in rows)
    found = json.loads(render_json(groups))
    assert [(group["protocol"], group["on_training_images"]) for group in found["groups"]] == 2 * [
        ("streaming", marked)
    ]
    assert (found["best"]["next_domain"], found["best"]["accuracy"]) == ([groups[1].label], [])


@pytest.mark.slow
def test_of_two_protocols_each_cell_is_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "iid")
    make_run(tmp_path / "streaming", **STREAMING)
    make_run(tmp_path / "joint", name="joint", **STREAMING, **{"cl_strategy.type": "JointTraining"})
    text = render_markdown(groups_of(tmp_path))
    summary, _, _ = text.partition("- in-domain: ")
    cells = {line.split(" | ")[0]: line.split(" | ")[2:9] for line in summary.splitlines() if line.startswith("| ")}
    assert cells[r"| naive, evaluation\_protocol=iid"] == ["55.0", "50.0", "86.7", "75.0", "63.3", "40.0", "-25.0"]
    marked = ["55.0", "50.0", "86.7†", "75.0†", "63.3†", "40.0", "-25.0†"]
    assert cells[r"| naive, evaluation\_protocol=streaming"] == marked
    assert all(cell.endswith("†") for cell in cells["| joint"])
    assert "iid and streaming protocol" in text
    assert "joint has seen all images before the first test" in text


def test_runs_of_one_group_on_gpus_with_other_drivers(tmp_path: Path) -> None:
    """A run on a CPU, or of an earlier clearctl, has no driver to compare: its device is noted."""
    gpu = {
        "driver": "580.1",
        "driver_cuda": "13.0",
        "cuda": "13.0",
        "cudnn": "9.1.0",
        "memory_bytes": 8,
        "capability": "9.0",
    }
    device = {"device": "cuda:0", "device_name": "NVIDIA H200"}
    make_run(tmp_path / "0", MATRIX, 0, environment={**device, "gpu": gpu})
    make_run(tmp_path / "1", MATRIX, 1, environment={**device, "gpu": {**gpu, "driver": "590.2", "cudnn": None}})
    make_run(tmp_path / "2", MATRIX, 2, environment={**device, "device": "cuda"})
    assert texts(tmp_path) == ["naive: the version of the GPU's driver differs: 580.1 (seed 0), 590.2 (seed 1)"]
