"""Draw docs/images/demo.svg from the run folder of a demo: python docs/draw_demo.py clearctl-demo/runs/<run>."""

import json
import re
import sys
from pathlib import Path

from rich.console import Console

from clearctl import rundir
from clearctl.cli.tables import matrix_table, numbers_tables
from clearctl.config.protocol import on_training_images
from clearctl.metrics import from_json

run = Path(sys.argv[1])
matrix, buckets = rundir.read_matrix(run)
results = json.loads(rundir.eval_file(run).read_text())
console = Console(record=True, width=92, force_terminal=True, color_system="truecolor", file=open("/dev/null", "w"))  # noqa: SIM115
console.print("$ clearctl demo\n", highlight=False)
console.print(matrix_table(matrix.tolist(), buckets, buckets))
marked = on_training_images(rundir.read_config(run))
for table in numbers_tables(from_json(results), marked):
    console.print(table)
picture = console.export_svg(title="clearctl demo", unique_id="demo")
# The fonts that rich names are fetched over the network; a reader's own monospace font does as well.
picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)
Path(__file__).with_name("images").joinpath("demo.svg").write_text(picture)
