"""Draw docs/images/ from real runs on the demo's stream: python docs/make_pictures.py (`make pictures`).

It runs `clearctl demo` and a sweep of three strategies with three seeds, in build/pictures: 20 minutes on two busy
cores. The same command again draws from the runs that are there. Chromium takes the screenshot of the report's page.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from rich.console import Console

from clearctl import rundir
from clearctl.cli.tables import matrix_table, numbers_tables
from clearctl.config.protocol import on_training_images
from clearctl.metrics import from_json

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STRATEGIES = ("Naive", "Replay", "Cumulative")
LABELS = [word for name in STRATEGIES for word in ("--label", f"quickstart, {name}={name}")]
WIDTH_PX = 1000  # of the screenshot of a page
COLORS = 128  # of a PNG; lines and heatmaps need no more, and the files are half the size


def main() -> None:
    """Run what is not there yet, and draw everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "pictures", help="where the runs are made")
    folder = parser.parse_args().folder
    demo, sweep = folder / "demo", folder / "sweep"
    if not sorted(demo.glob("runs/*/report.html")):
        _clearctl("demo", demo)
    values = ["--set", f"cl_strategy.type={','.join(STRATEGIES)}", "--seeds", "0-2"]
    _clearctl("sweep", "quickstart", *values, "--dataset-root", demo / "dataset", "--work-dir", sweep)
    run = sorted(path.parent for path in demo.glob("runs/*/report.html"))[0]
    IMAGES.mkdir(exist_ok=True)
    (IMAGES / "demo.svg").write_text(terminal(run), encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        draw(run, place, "matrix")
        draw(sweep, place, "over-time", *LABELS)
        draw(sweep, place, "matrices", *LABELS, width="page")
        figures = sorted(place.glob("*.png"))
        for figure in figures:
            shrink(figure, IMAGES / f"{re.sub('^matrix-.*', 'matrix', figure.stem)}.png")
        page = place / "report.html"
        title = "Three strategies on the demo's stream"
        _clearctl("report", sweep, *LABELS, "--sort", "accuracy", "--title", title, "--output", page)
        screenshot(page, place / "report.png")
        shrink(place / "report.png", IMAGES / "report.png")
    for path in sorted(IMAGES.iterdir()):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1000:.0f} kB")


def terminal(run: Path) -> str:
    """The accuracy matrix and the numbers of a run, as a terminal shows them, in SVG."""
    matrix, buckets = rundir.read_matrix(run)
    results = json.loads(rundir.eval_file(run).read_text())
    with tempfile.TemporaryFile("w") as nowhere:
        console = Console(record=True, width=92, force_terminal=True, color_system="truecolor", file=nowhere)
        console.print("$ clearctl demo\n", highlight=False)
        console.print(matrix_table(matrix.tolist(), buckets, buckets, console.width))
        for table in numbers_tables(from_json(results), on_training_images(rundir.read_config(run))):
            console.print(table)
        console.print()  # rich cuts the lower edge of the last line
    picture = console.export_svg(title="clearctl demo", unique_id="demo")
    # The fonts that rich names are fetched over the network; a reader's own monospace font does as well.
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)


def draw(runs: Path, place: Path, figure: str, *labels: str, width: str = "column") -> None:
    """Draw a figure of a report into `place`, as wide as a column or a page of a paper."""
    where = ["--figures", place, "--width", width, "--output", place / "table.md"]
    _clearctl("report", runs, *labels, "--draw", figure, *where)


def screenshot(page: Path, picture: Path) -> None:
    """The upper part of a report's page."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"make pictures: found none of {', '.join(BROWSERS)} on the PATH: install one")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        tab = opened.new_page(viewport={"width": WIDTH_PX, "height": 900}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.wait_for_timeout(500)
        tab.screenshot(path=picture)
        opened.close()


def shrink(source: Path, target: Path) -> None:
    """The same picture with fewer colours."""
    with Image.open(source) as picture:
        picture.convert("RGB").quantize(COLORS).save(target, optimize=True)


def _clearctl(*words: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "clearctl", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
