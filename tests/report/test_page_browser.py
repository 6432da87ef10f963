"""The page of a report in a real browser, as a researcher has it before them."""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from report.folders import make_run

from clearctl.report.groups import group_runs
from clearctl.report.page import render_page
from clearctl.report.runs import find_runs

WIDTHS = (400, 1000, 1600)
THEMES = ("light", "dark")
# Of each strategy, the matrices of its two seeds. In the order of texts 100.0 comes before 9.5.
MATRICES = {
    "Naive": [((0.9, 0.6), (0.08, 0.10)), ((0.9, 0.6), (0.10, 0.12))],
    "Replay": [((1.0, 1.0), (1.0, 1.0)), ((1.0, 1.0), (1.0, 1.0))],
    "LwF": [((0.085, 0.5), (0.1, 0.1)), ((0.085, 0.5), (0.1, 0.1))],
    "EWC": [((0.7, 0.2), (0.5, 0.8)), ((0.6, 0.3), (0.4, 0.7))],
}
LONG = "a_name_that_is_longer_than_anything_that_a_table_has_room_for_" * 3

# Elements that reach out of the window, but in a box that scrolls or cuts.
STICKING_OUT = """() => {
  const scrolls = (element) => ["auto", "scroll", "hidden"].includes(getComputedStyle(element).overflowX);
  const found = [];
  for (const element of document.body.querySelectorAll("*")) {
    const box = element.getBoundingClientRect();
    if (!box.width || (box.right <= innerWidth + 0.5 && box.left >= -0.5)) continue;
    let above = element.parentElement;
    while (above && !scrolls(above)) above = above.parentElement;
    if (!above) found.push(`${element.tagName} ${element.className} ${box.left} to ${box.right}`);
  }
  return found;
}"""

# Boxes that overlap: cells of a table with each other, neighbours in a row of a text, texts of a chart. What is sticky
# lies over what scrolls below it, and is left out where its table has been scrolled: here none has.
OVERLAPPING = """() => {
  const found = [];
  const compare = (boxes) => {
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
      const [a, b] = [boxes[i].box, boxes[j].box];
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 0.5 && down > 0.5) found.push(`${boxes[i].name} and ${boxes[j].name}`);
    }
  };
  const named = (element, box) => ({ box, name: `${element.tagName} ${element.textContent.trim().slice(0, 40)}` });
  const shown = (element) => element.checkVisibility() && element.getClientRects().length > 0;
  for (const table of document.querySelectorAll("table")) {
    if (!shown(table)) continue;
    const rows = [...table.rows];
    rows.forEach((row, number) => {
      const near = [...row.cells, ...(rows[number + 1]?.cells ?? [])];
      compare(near.map((cell) => named(cell, cell.getBoundingClientRect())));
      for (const cell of row.cells) {  // what is in a cell stays in it
        const range = document.createRange();
        range.selectNodeContents(cell);
        const [inner, outer] = [range.getBoundingClientRect(), cell.getBoundingClientRect()];
        const cut = ["hidden", "clip"].includes(getComputedStyle(cell).overflowX);
        if (!cut && inner.width && (inner.right > outer.right + 0.5 || inner.left < outer.left - 0.5)) {
          found.push(`text out of its cell: ${named(cell, outer).name}`);
        }
      }
    });
    // Headings stand over their columns.
    const [heading, body] = [table.tHead?.rows, table.tBodies[0]?.rows];
    const last = heading?.[heading.length - 1];
    if (last && body?.length && last.cells.length !== body[0].cells.length) found.push(`columns: ${last.innerText}`);
    [...(last?.cells ?? [])].forEach((cell, number) => {
      const [above, below] = [cell.getBoundingClientRect(), body?.[0]?.cells[number]?.getBoundingClientRect()];
      if (below && Math.abs(above.left - below.left) > 0.5) found.push(`not above its column: ${cell.innerText}`);
    });
  }
  for (const chart of document.querySelectorAll("svg.chart")) {
    if (!shown(chart)) continue;
    compare([...chart.querySelectorAll("text")].map((text) => named(text, text.getBoundingClientRect())));
  }
  for (const parent of document.querySelectorAll("main, main section, main details, header, dl, figure, div, p, ul")) {
    compare([...parent.children].filter(shown).map((child) => named(child, child.getBoundingClientRect())));
  }
  return found;
}"""

# The least contrast (WCAG 2) of a text with what lies behind it, of all elements that have text and match a selector.
LEAST_CONTRAST = """(selector) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) known.set(colour, drawn(colour));
    return known.get(colour);
  };
  const drawn = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const [r, g, b] = rgba(colour).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let [least, count] = [Infinity, 0];
  for (const element of document.querySelectorAll(selector)) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    if (!element.checkVisibility() || element.closest("title, style, script")) continue;
    let behind = element;
    while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
    const style = getComputedStyle(element);
    const text = luminance(element instanceof SVGElement ? style.fill : style.color);
    const ground = luminance(getComputedStyle(behind ?? document.body).backgroundColor);
    least = Math.min(least, (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05));
    count += 1;
  }
  return [least, count];
}"""


def write_page(folder: Path, runs: Path) -> Path:
    file = folder / "a report.html"
    file.write_text(render_page(group_runs(find_runs([runs]))))
    return file


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """Five groups of a dataset that is there: four of whole runs, one with a long name that is still going."""
    folder = tmp_path_factory.mktemp("several")
    for number, (strategy, matrices) in enumerate(MATRICES.items()):
        for seed, matrix in enumerate(matrices):
            values: dict[str, Any] = {"cl_strategy.type": strategy, "scenario.dataset_root": str(prepared)}
            make_run(folder / f"runs/{number}-{seed}", matrix, seed, config=f"configs/{strategy.lower()}.py", **values)
    resume_point = {"cl_strategy.type": "GEM", "scenario.dataset_root": str(prepared), "name": LONG}
    make_run(folder / "runs/9", [(0.5, 0.4)], **resume_point)
    return write_page(folder, folder / "runs")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of twelve buckets, in which 15 classes were measured, and a group that has many settings otherwise."""
    folder = tmp_path_factory.mktemp("wide")
    matrix = [[0.5 + 0.03 * abs(i - j) for j in range(12)] for i in range(12)]
    name = "Top1_ClassAcc_Stream/eval_phase/test_stream/Task000"
    measured = {i: {f"{name}/{label}": label / 15 for label in range(15)} for i in range(12)}
    for seed in (0, 1):
        make_run(
            folder / f"runs/{seed}", matrix, seed, measured=measured, class_names=[f"class {i}" for i in range(15)]
        )
    other: dict[str, Any] = {f"cl_strategy.setting_{i}": LONG for i in range(6)}
    make_run(folder / "runs/2", matrix, epochs=500, config=f"configs/{LONG}.py", **other)
    return write_page(folder, folder / "runs")


Opened = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Opened]:
    """`opened(file, width, theme)`: its page, offline. At the end it must have asked for nothing and said nothing."""
    contexts, asked, said, files = [], [], [], []

    def open_page(file: Path, width: int = 1600, theme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        files.append(file.as_uri())
        page.goto(file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == files


def unfold(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")


def labels(page: Any) -> list[str]:
    return page.locator("#summary tbody th").all_inner_texts()


def heading(page: Any, title: str) -> Any:
    return page.locator("#summary thead th").filter(has=page.get_by_role("button", name=title, exact=True))


def accuracy(strategy: str) -> float:
    """The mean over seeds of the mean of the diagonal and below."""
    return statistics.fmean((first[0] + second[0] + second[1]) / 3 for first, second in MATRICES[strategy])


def test_clicking_a_heading_sorts_by_its_numbers_the_best_first(several: Path, opened: Opened) -> None:
    page = opened(several)
    assert labels(page) == ["naive", "replay", "lwf", "ewc", LONG]
    expected = sorted(MATRICES, key=accuracy, reverse=True)
    assert [round(100 * accuracy(name), 1) for name in expected] == [100.0, 61.7, 36.7, 9.5]
    heading(page, "accuracy").get_by_role("button").click()
    assert labels(page) == [*map(str.lower, expected), LONG]  # what has no number comes last
    assert heading(page, "accuracy").get_attribute("aria-sort") == "descending"
    shown = [row.split("\t")[5] for row in page.locator("#summary tbody tr").all_inner_texts()]
    assert [text.split()[0] for text in shown] == ["100.0", "61.7", "36.7", "9.5", "-"]
    heading(page, "accuracy").get_by_role("button").click()
    assert labels(page) == [*map(str.lower, reversed(expected)), LONG]
    assert heading(page, "accuracy").get_attribute("aria-sort") == "ascending"


def test_enter_on_a_heading_sorts_too_and_only_one_heading_is_marked(several: Path, opened: Opened) -> None:
    page = opened(several)
    heading(page, "accuracy").get_by_role("button").click()
    heading(page, "GEM BWT").get_by_role("button").focus()
    page.keyboard.press("Enter")
    # R[1, 0] - R[0, 0]: 0 of Replay, 0.015 of LwF, -0.2 of EWC, -0.81 of Naive
    assert labels(page) == ["lwf", "replay", "ewc", "naive", LONG]
    assert page.locator("#summary [aria-sort]").count() == 1
    heading(page, "group").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert labels(page) == [LONG, "ewc", "lwf", "naive", "replay"]
    page.keyboard.press("Enter")
    assert labels(page) == ["replay", "naive", "lwf", "ewc", LONG]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["several", "wide"])
def test_no_two_boxes_overlap_and_nothing_sticks_out_of_the_window(
    name: str, width: int, request: pytest.FixtureRequest, opened: Opened
) -> None:
    for theme in THEMES:
        page = opened(request.getfixturevalue(name), width, theme)
        for fold in (False, True):
            if fold:
                unfold(page)
            assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
            assert page.evaluate(STICKING_OUT) == []
            assert page.evaluate(OVERLAPPING) == []


@pytest.mark.parametrize(
    "broken",
    [
        ".entries th { display: inline-block; margin-right: 1em; }",  # the headings of all groups in one column
        ".entries tbody th { max-width: 4rem; white-space: nowrap; }",
        "#summary td.number { position: relative; left: -2rem; }",
        ".drawn { margin-right: -8rem; }",
        ".chart { font-size: 60px; }",
    ],
)
def test_what_overlaps_is_found(broken: str, wide: Path, opened: Opened) -> None:
    page = opened(wide, 1000)
    unfold(page)
    page.add_style_tag(content=broken)
    assert page.evaluate(OVERLAPPING) != []


def test_what_sticks_out_is_found(several: Path, opened: Opened) -> None:
    page = opened(several, 400)
    page.evaluate("document.querySelector('.scroll').style.overflowX = 'visible'")
    assert page.evaluate(STICKING_OUT) != []


def test_chart_labels_do_not_overlap(wide: Path, opened: Opened) -> None:
    page = opened(wide, 400)
    unfold(page)
    boxes = page.evaluate(
        "[...document.querySelectorAll('svg.chart')].map((svg) => [...svg.querySelectorAll('.x')].map((text) => {"
        " const box = text.getBoundingClientRect(); return [box.left, box.right]; }))"
    )
    assert len(boxes) == 3 + 8
    for names in boxes:
        assert len(names) >= 6
        assert all(right < left for (_, right), (left, _) in zip(names, names[1:], strict=False))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_can_be_read(several: Path, wide: Path, theme: str, opened: Opened) -> None:
    for file in (several, wide):
        page = opened(file, theme=theme)
        unfold(page)
        cells, count = page.evaluate(LEAST_CONTRAST, ".heat td, .heat td small")
        assert cells >= 4.5
        assert count > 15
        everything, count = page.evaluate(LEAST_CONTRAST, "body *")
        assert everything >= 4.5
        assert count > 200


def test_the_theme_is_the_systems_until_the_button_says_otherwise(several: Path, opened: Opened) -> None:
    for theme, others in (("light", "Dark theme"), ("dark", "Light theme")):
        page = opened(several, theme=theme)
        grounds = [page.evaluate("getComputedStyle(document.body).backgroundColor")]
        cells = [page.evaluate("getComputedStyle(document.querySelector('.heat td')).backgroundColor")]
        page.get_by_role("button", name=others).click()
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        cells.append(page.evaluate("getComputedStyle(document.querySelector('.heat td')).backgroundColor"))
        light, dark = grounds if theme == "light" else reversed(grounds)
        assert (light, dark) == ("rgb(255, 255, 255)", "rgb(18, 22, 28)")
        assert cells[0] != cells[1]
        page.get_by_role("button", name=theme.capitalize()).click()
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == grounds[0]


def test_many_groups_are_folded_and_a_link_opens_the_one_it_leads_to(several: Path, opened: Opened) -> None:
    page = opened(several)
    heatmaps = page.locator(".group .matrix table")
    assert [table.is_visible() for table in heatmaps.all()] == [False] * 5
    page.get_by_role("link", name="lwf").click()
    assert [table.is_visible() for table in heatmaps.all()] == [False, False, True, False, False]


def test_all_groups_are_on_paper(several: Path, opened: Opened) -> None:
    page = opened(several, theme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator(".group[open]").count() == 5
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#theme").is_visible()
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator(".group[open]").count() == 0


def test_images_are_drawn_from_within_the_page(several: Path, opened: Opened) -> None:
    page = opened(several)
    sizes = page.evaluate("[...document.images].map((image) => [image.complete, image.naturalWidth])")
    assert sizes == [[True, 16]] * 6  # three classes in the two buckets of the runs


def test_the_page_of_a_real_run(trained: Any, opened: Opened) -> None:
    page = opened(trained.run / "report.html", 400)
    shown = page.locator(".matrix tbody td").all_inner_texts()
    assert shown == [f"{100 * value:.1f}" for value in trained.matrix.flat]
    assert page.evaluate(STICKING_OUT) == []
    assert page.locator("svg.chart").count() == 4
