"""The figures: which there are, that they are real images, and what is refused."""

import math
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from report.folders import groups_of, make_few, make_run

from clearctl.errors import UsageError
from clearctl.progress import Counted, Event, Message
from clearctl.report import plots
from clearctl.report.plots import DRAWINGS, SUFFIXES, numbers_figure, write_plots
from clearctl.report.view import View, make_view


@pytest.mark.slow
def test_every_figure_is_there_in_every_format_and_the_same_each_time(tmp_path: Path) -> None:
    make_run(tmp_path / "runs/1", [[0.8, 0.7], [0.75, 0.9]], name="100% of it")
    make_run(tmp_path / "runs/2", [[0.8]], 1, name="b", filelists="1" * 64)
    groups = groups_of(tmp_path / "runs")
    reported: list[Event] = []
    style, filters = dict.copy(matplotlib.rcParams), list(warnings.filters)
    written = write_plots(groups, tmp_path / "new/plots", reported.append)
    assert (dict.copy(matplotlib.rcParams), warnings.filters) == (style, filters)
    names = [path.name for path in written]
    of_groups = ["matrix-100_of_it", "matrix-b", "accuracy-100_of_it", "accuracy-b"]
    assert names == ["metrics", *of_groups, "over-time", "next-domain", "forgetting", "matrices", "training"]
    files = sorted((tmp_path / "new/plots").iterdir())
    assert [file.name for file in files] == sorted(f"{name}.{suffix}" for name in names for suffix in SUFFIXES)
    for path in written:
        with Image.open(f"{path}.png") as image:
            assert image.width > 400
            assert len(np.unique(np.asarray(image.convert("L")))) > 10  # something is drawn
        assert Path(f"{path}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in Path(f"{path}.svg").read_text()
    assert reported == [Counted("plots", done, 10, "figures") for done in range(1, 11)]
    before = [file.read_bytes() for file in files]
    write_plots(groups, tmp_path / "new/plots")
    assert [file.read_bytes() for file in files] == before


def test_figures_by_name(tmp_path: Path) -> None:
    """The difference is of two groups, or of those that are compared."""
    name = "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000"
    for number, strategy in enumerate(("Naive", "EWC", "LwF")):
        measured = {i: {f"{name}/{label}": 0.5 for label in range(3)} for i in range(3)}
        make_run(tmp_path / f"runs/{number}", measured=measured, name=strategy, **{"cl_strategy.type": strategy})
    groups = groups_of(tmp_path / "runs")
    written = write_plots(groups[:2], tmp_path / "a", names=["difference", "classes", "difference"])
    assert [path.name for path in written] == ["difference", "classes"]
    with pytest.raises(UsageError, match="--draw difference: these runs are not enough; it needs --compare A B"):
        write_plots(groups, tmp_path / "b", names=["difference"])
    assert not (tmp_path / "b").exists()
    view = make_view(groups, {}, compared=("LwF", "Naive"), width="column")
    [path] = write_plots(groups, tmp_path / "c", view=view, names=["difference"])
    with Image.open(f"{path}.png") as image:
        assert image.width <= 3.3 * 300
    with pytest.raises(UsageError, match="--draw forgeting: .*did you mean 'forgetting'"):
        write_plots(groups, tmp_path / "c", names=["forgeting"])


@pytest.mark.parametrize("runs", [0, 1])
def test_what_there_is_nothing_to_draw_of_is_left_out(runs: int, tmp_path: Path) -> None:
    """A run that diverged in its only bucket, and one of a single bucket and no epoch."""
    diverged = None if runs else {"bucket": "0", "epoch": 1, "reason": "NaN"}
    make_run(tmp_path / "runs", [[0.5]], epochs=0, diverged=diverged)
    written = write_plots(groups_of(tmp_path / "runs"), tmp_path / "plots")
    assert [path.name for path in written] == [
        "metrics",
        *(["matrix-naive", "accuracy-naive", "over-time"] if runs else []),
    ]


def test_of_many_groups_the_first_are_drawn_and_it_is_said(tmp_path: Path) -> None:
    for number in range(14):
        make_run(tmp_path / f"runs/{number}", [[0.5, 0.5], [0.5, 0.5]], **{"cl_strategy.k": number})
    reported: list[Event] = []
    write_plots(groups_of(tmp_path / "runs"), tmp_path / "plots", reported.append, names=["over-time"])
    [message] = [event.text for event in reported if isinstance(event, Message)]
    assert message == (
        "figures of several groups show the first 12 of 14: give fewer runs, or choose the first ones with --sort"
    )


def test_letters_that_no_font_has_are_named_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "runs", name="经验回放")
    monkeypatch.setattr(
        plots, "families", lambda texts: (["DejaVu Sans"], "".join(sorted(set("".join(texts)) & {*"经验"})))
    )
    reported: list[Event] = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_plots(groups_of(tmp_path / "runs"), tmp_path / "plots", reported.append, names=["over-time"])
    [message] = [event for event in reported if isinstance(event, Message)]
    assert message.warning
    assert message.text.startswith("no installed font has 经 and 验: figures show boxes instead")
    assert "\n" not in message.text


def test_every_figure_says_what_it_shows() -> None:
    assert all(drawing.shows for drawing in DRAWINGS.values())
    assert View().width == "page"


def test_groups_side_by_side_with_error_bars(tmp_path: Path) -> None:
    groups = groups_of(make_few(tmp_path))
    figure: Figure = numbers_figure(groups)
    titles = [axes.get_title().replace("\n", " ") for axes in figure.axes]
    assert titles == [
        "in-domain (%)",
        "next-domain (%)",
        "accuracy (%)",
        "backward transfer (%)",
        "forward transfer (%)",
        "GEM BWT (%)",
        "GEM FWT (%)",
        "training (s)",
    ]
    [bars] = figure.axes[0].containers
    points, _, [spans] = bars.lines
    assert points.get_xdata() == pytest.approx([100 * 5.3 / 6, 100 * 2.6 / 3, 90.0, math.nan], nan_ok=True)
    low, high = spans.get_segments()[0][:, 0]
    assert (high - low) / 2 == pytest.approx(100 * 0.1 / 3 / math.sqrt(2))
