"""The page of a report as text: its numbers by hand, what it says of unusual runs, and that it needs nothing else."""

import json
import math
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report.folders import MATRIX, UNTRAINED, make_run

from clearctl import rundir
from clearctl.engine.run.train import TrainResult, train
from clearctl.progress import BucketDone, Event, Message
from clearctl.report.groups import group_runs
from clearctl.report.page import render_page
from clearctl.report.runs import find_runs

OTHER = ((0.9, 0.5, 0.3), (0.8, 0.7, 0.6), (0.7, 0.6, 0.8))
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """The rows of all tables, {id or class: [rows of [texts of cells]]}, the texts of all elements, and URLs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[tuple[str, list[list[str]]]] = []
        self.texts: list[tuple[str, str, str]] = []  # tag, class, text
        self.urls: list[str] = []
        self._open: list[tuple[str, str]] = []
        self._cell: list[str] | None = None
        self.feed(text)
        self.close()
        assert self._open == []  # all that is opened is closed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.urls += [given[name] for name in ("src", "href", "data", "action") if name in given]
        if tag == "table":
            self.tables.append((given.get("id") or given.get("class") or "", []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self._cell = []
        if tag not in VOID:
            self._open.append((tag, given.get("class", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass  # <line/> and the like

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag
        if tag in ("td", "th") and self._cell is not None:
            self.tables[-1][1][-1].append(" ".join("".join(self._cell).split()))
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)
        if data.strip() and self._open:
            self.texts.append((*self._open[-1], " ".join(data.split())))

    def table(self, name: str, number: int = 0) -> list[list[str]]:
        return [rows for found, rows in self.tables if found == name][number]

    def of(self, tag: str) -> list[str]:
        return [text for found, _, text in self.texts if found == tag]


def page(*folders: Path) -> Page:
    return Page(render_page(group_runs(find_runs(folders))))


def two_groups(folder: Path) -> Path:
    """Naive with two seeds, and with another learning rate one."""
    make_run(folder / "1", MATRIX, 0, seconds=0.5)
    make_run(folder / "2", OTHER, 1, seconds=1.5, **{"scenario.seed": 1})
    make_run(folder / "3", OTHER, 0, **{"cl_strategy.optimizer.lr": 1.0})
    return folder


def by_hand(matrix: tuple[tuple[float, ...], ...]) -> list[float]:
    """The seven numbers of a matrix of three buckets, in percent."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    numbers = [
        (a + e + i) / 3,
        (b + f) / 2,
        (a + d + e + g + h + i) / 6,
        (d + g + h) / 3,
        (b + c + f) / 3,
        ((g - a) + (h - e)) / 2,
        ((b - UNTRAINED[1]) + (f - UNTRAINED[2])) / 2,
    ]
    return [100 * number for number in numbers]


def test_summary_by_hand(tmp_path: Path) -> None:
    summary = page(two_groups(tmp_path)).table("summary")
    assert summary[0] == ["", "CLEAR (%)", "GEM (%)", ""]
    assert summary[1] == [
        "group",
        "lr",
        "n",
        "in-domain",
        "next-domain",
        "accuracy",
        "backward transfer",
        "forward transfer",
        "GEM BWT",
        "GEM FWT",
        "training (s)",
    ]
    pairs = list(zip(by_hand(MATRIX), by_hand(OTHER), strict=True))
    means = [f"{statistics.fmean(pair):.1f} ± {statistics.stdev(pair):.1f}" for pair in pairs]
    # Three buckets of two epochs each: 3 s and 9 s.
    assert summary[2] == ["naive, lr=0.1", "0.1", "2", *means, f"6.0 ± {math.sqrt(18):.1f}"]
    assert summary[3] == ["naive, lr=1.0", "1.0", "1", *(f"{value:.1f}" for value in by_hand(OTHER)), "3.0"]
    assert len(summary) == 4


def test_what_is_better_by_more_than_chance_is_bold(tmp_path: Path) -> None:
    for value, kind in ((0.8, "Naive"), (0.9, "Replay")):
        for seed in (0, 1):
            matrix = [[value + seed / 1000] * 3] * 3
            make_run(tmp_path / f"{value}-{seed}", matrix, seed, seconds=value, **{"cl_strategy.type": kind})
    text = render_page(group_runs(find_runs([tmp_path])))
    rows = re.findall(r"<tr><th scope=\"row\" data-by.*?</tr>", text, re.DOTALL)
    bold = [["best" in cell for cell in re.findall(r"<td class=\"number([^>]*)>", row)] for row in rows]
    # n, CLEAR's five, GEM's BWT, which is 0 in both, and FWT, and of training times the least
    assert bold == [8 * [False] + [True], [False] + 5 * [True] + [False, True, False]]
    assert render_page(group_runs(find_runs([two_groups(tmp_path / "two")]))).count('class="number best"') == 0


def test_heatmap_by_hand(tmp_path: Path) -> None:
    found = page(two_groups(tmp_path))
    of_both = found.table("heat", 0)
    assert of_both[0] == ["trained to", "0", "1", "2"]
    for i in range(3):
        expected = []
        for j in range(3):
            pair = [100 * MATRIX[i][j], 100 * OTHER[i][j]]
            expected.append(f"{statistics.fmean(pair):.1f}±{statistics.stdev(pair):.1f}")
        assert of_both[i + 1] == [str(i), *expected]
    of_one = found.table("heat", 1)
    assert of_one[1:] == [[str(i), *(f"{100 * value:.1f}" for value in OTHER[i])] for i in range(3)]


def test_cells_have_the_same_colours_in_all_groups_and_the_diagonal_is_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "1", ((0.5, 0.75), (0.6, 1.0)))
    make_run(tmp_path / "2", ((0.75, 0.75), (0.75, 0.75)), **{"cl_strategy.optimizer.lr": 1.0})
    text = render_page(group_runs(find_runs([tmp_path])))
    assert re.findall(r"<td class=\"(h\d+)( own)?\">([\d.]+)<", text) == [
        ("h0", " own", "50.0"),
        ("h10", "", "75.0"),
        ("h4", "", "60.0"),
        ("h20", " own", "100.0"),
        ("h10", " own", "75.0"),
        ("h10", "", "75.0"),
        ("h10", "", "75.0"),
        ("h10", " own", "75.0"),
    ]


def test_charts_say_the_values_of_the_matrix(tmp_path: Path) -> None:
    text = render_page(group_runs(find_runs([two_groups(tmp_path)])))
    std = 100 * statistics.stdev([0.5, 0.6])
    assert f"<title>bucket 2, trained to 1: 55.0 ± {std:.1f} %</title>" in text
    assert f"<title>trained to 1, bucket 2: 55.0 ± {std:.1f} %</title>" in text
    assert "<title>bucket 0, trained to 2: 70.0 %</title>" in text
    # The losses of both epochs, 2 and 1, and the accuracies 0.5 and 0.75.
    assert "bucket 1, its last epoch: loss 1.0000, accuracy 75.0 %" in text
    assert text.count('class="chart"') == 3 + 8


def test_config_marks_what_other_groups_have_otherwise_and_names_the_seeds(tmp_path: Path) -> None:
    found = page(two_groups(tmp_path))
    config = {row[0]: row[1] for row in found.table("entries", 0)}
    assert config["seed"] == config["scenario.seed"] == "0 (seed 0) 1 (seed 1)"
    assert config["cl_strategy.type"] == "Naive"
    text = render_page(group_runs(find_runs([tmp_path])))
    assert re.findall(r'<tr class="notable"><th scope="row">(.*?)</th>', text) == ["cl_strategy.optimizer.lr"] * 2


def test_an_environment_that_is_not_the_same_for_all_runs_is_marked(tmp_path: Path) -> None:
    make_run(tmp_path / "1", seed=0)
    make_run(tmp_path / "2", seed=1)
    make_run(tmp_path / "3", seed=2, environment={"python": "3.12.1", "git": "abc"})
    text = render_page(group_runs(find_runs([tmp_path])))
    assert re.findall(r'<tr class="notable"><th scope="row">(.*?)</th>', text) == ["python", "git"]
    environment = {row[0]: row[1] for row in Page(text).table("entries", 1)}
    assert environment["python"] == "3.11.7 (seeds 0, 1) 3.12.1 (seed 2)"
    assert environment["git"] == "missing (seeds 0, 1) abc (seed 2)"
    assert environment["packages.torch"] == "2.11.0"
    assert "seed" not in environment


def test_the_runs_with_their_folders_and_numbers(tmp_path: Path) -> None:
    runs = page(two_groups(tmp_path)).table("numbers", 0)
    assert runs[1] == ["0", str(tmp_path / "1"), "finished", *(f"{value:.1f}" for value in by_hand(MATRIX)), "3.0"]
    assert runs[2][:3] == ["1", str(tmp_path / "2"), "finished"]


def test_a_run_that_is_still_going(tmp_path: Path) -> None:
    make_run(tmp_path / "run", MATRIX[:2])
    found = page(tmp_path)
    assert found.table("heat")[2:] == [["1", "70.0", "90.0", "50.0"], ["2", "", "", ""]]
    assert found.table("summary")[2] == ["naive", "1", *["-"] * 7, "2.0"]
    assert found.table("numbers")[1][2] == "not finished: 2 of 3 buckets"
    assert any("2 of 3 buckets" in text for text in found.of("li"))


def test_a_run_that_is_behind_the_others_is_not_in_the_means(tmp_path: Path) -> None:
    make_run(tmp_path / "1", MATRIX, 0)
    make_run(tmp_path / "2", OTHER[:1], 1)
    found = page(tmp_path)
    assert found.table("heat")[1] == ["0", "80.0", "60.0", "40.0"]
    assert found.table("numbers")[2][2] == "not finished: 1 of 3 buckets, not in the means"


def test_one_bucket_has_no_numbers_off_the_diagonal_and_no_accuracy_charts(tmp_path: Path) -> None:
    make_run(tmp_path / "run", ((0.5,),))
    found = page(tmp_path)
    assert found.table("summary")[2] == ["naive", "1", "50.0", "-", "50.0", *["-"] * 4, "1.0"]
    assert found.of("figcaption")[1:] == ["Training loss", "Training accuracy"]


def test_classes_where_they_were_measured(tmp_path: Path) -> None:
    name = "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000"
    measured = {i: {f"{name}/{label}": (i + label) / 4 for label in (0, 2)} for i in range(3)}
    make_run(tmp_path / "run", measured=measured)
    assert page(tmp_path).table("heat classes") == [
        ["class", "0", "1", "2"],
        ["BACKGROUND", "0.0", "25.0", "50.0"],
        ["camera", "-", "-", "-"],
        ["cup of tea", "50.0", "75.0", "100.0"],
    ]


def test_classes_with_a_task_label_for_each_bucket_are_means_over_buckets(tmp_path: Path) -> None:
    measured = {2: {f"Top1_ClassAcc_Stream/eval_phase/test_stream/Task{i:03}/0": i / 4 for i in range(3)}}
    make_run(tmp_path / "run", measured=measured, **{"scenario.task_labels": "bucket"})
    found = page(tmp_path)
    assert found.table("heat classes")[1] == ["BACKGROUND", "-", "-", "25.0"]
    assert "Accuracy (%) of each class as the mean over all buckets, trained to each bucket" in found.of("summary")


def test_many_settings_are_a_table_of_their_own(tmp_path: Path) -> None:
    make_run(tmp_path / "1")
    make_run(tmp_path / "2", **{f"cl_strategy.setting_{i}": i for i in range(5)})
    found = page(tmp_path)
    assert found.table("summary")[1][:2] == ["group", "n"]
    settings = found.table("entries compared", 0)
    assert [row[0] for row in settings[1:]] == [f"cl_strategy.setting_{i}" for i in range(5)]
    assert [row[1:] for row in settings[1:]] == [["-", str(i)] for i in range(5)]


def test_hostile_texts_are_never_markup(tmp_path: Path) -> None:
    hostile = "</script><script>alert('1')</script>\"&'<b>"
    make_run(
        tmp_path / hostile.replace("/", "_"),
        class_names=[hostile, "b", "c"],
        environment={"git": hostile, "platform": hostile},
        measured={2: {"Top1_ClassAcc_Stream/eval_phase/test_stream/Task000/0": 0.5}},
        config=hostile.replace("/", "_"),
        name=hostile,
        **{"cl_strategy.type": hostile, "scenario.data_name": hostile, "scenario.evaluation_protocol": hostile},
    )
    make_run(tmp_path / "2", name="other")
    text = render_page(group_runs(find_runs([tmp_path])))
    assert text.count("<script>") == text.count("</script>") == 1
    assert "<b>" not in text
    assert hostile in Page(text).of("a")


def test_the_page_needs_nothing_but_itself(tmp_path: Path, prepared: Path) -> None:
    make_run(tmp_path / "run", **{"scenario.dataset_root": str(prepared)})
    text = render_page(group_runs(find_runs([tmp_path])))
    urls = Page(text).urls
    assert sum(url.startswith("data:image/jpeg") for url in urls) == 9
    assert {url for url in urls if not url.startswith("data:")} == {"#group-1"}
    assert not re.search(r"https?:|@import|url\(|fetch\(|XMLHttpRequest|import\(", text)


def test_the_same_runs_give_the_same_page(tmp_path: Path) -> None:
    two_groups(tmp_path)
    assert render_page(group_runs(find_runs([tmp_path]))) == render_page(group_runs(find_runs([tmp_path])))


def test_a_hundred_runs_make_a_small_page(tmp_path: Path) -> None:
    measured = {
        i: {f"Top1_ClassAcc_Stream/eval_phase/test_stream/Task000/{label}": 0.5 for label in range(11)}
        for i in range(10)
    }
    classes = [f"class {i}" for i in range(11)]
    for number in range(100):
        lr, seed = divmod(number, 5)
        matrix = [[0.8 + 0.001 * number - 0.01 * abs(i - j) for j in range(10)] for i in range(10)]
        values: dict[str, Any] = {"cl_strategy.optimizer.lr": lr / 10}
        make_run(tmp_path / str(number), matrix, seed, epochs=20, measured=measured, class_names=classes, **values)
    groups = group_runs(find_runs([tmp_path]))
    assert len(groups) == 20
    assert len(render_page(groups).encode()) < 3_000_000


# The page that a run writes of itself


def test_a_run_ends_with_its_own_page(trained: TrainResult) -> None:
    text = rundir.report_file(trained.run).read_text(encoding="utf-8")
    found = Page(text)
    assert [row[1:] for row in found.table("heat")[1:]] == [
        [f"{100 * value:.1f}" for value in row] for row in trained.matrix
    ]
    assert found.table("numbers")[1][2] == "finished"
    assert text == render_page(group_runs(find_runs([trained.run])))


def test_a_page_that_cannot_be_written_is_a_warning_and_the_run_is_whole(
    prepared: Path, tiny_config: Path, tmp_path: Path
) -> None:
    reported: list[Message] = []

    def listen(event: Event) -> None:
        if isinstance(event, Message) and event.warning:
            reported.append(event)
        if isinstance(event, BucketDone) and event.bucket_number == 3:
            [run] = tmp_path.iterdir()
            rundir.report_file(run).mkdir()

    result = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, listener=listen)
    assert [message.text.partition(":")[0] for message in reported] == [
        f"{rundir.report_file(result.run)} could not be written"
    ]
    assert rundir.is_finished(result.run)
    assert json.loads((result.run / "eval.json").read_text())["clear_metrics"] == pytest.approx(result.clear_metrics)
