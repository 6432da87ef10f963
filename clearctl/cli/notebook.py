"""Progress for those who call clearctl from Python: bars in a notebook's cell, lines elsewhere."""

import sys
from collections.abc import Sequence
from html import escape as escape_html
from typing import Any

from clearctl.cli.console import Output
from clearctl.cli.progress import Display
from clearctl.cli.streams import escaped
from clearctl.progress import Listener


def progress_bar() -> Listener:
    """A listener for one call: `clearctl.train(config, listener=clearctl.progress_bar())`.

    In a notebook it draws bars in the cell, and prints messages below them; elsewhere it prints lines to stderr.
    """
    if _is_notebook():
        return NotebookDisplay().show
    display = Display(Output())
    display.live = False  # a bar would have to be ended
    return display.show


def _is_notebook() -> bool:
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class _CellOutput(Output):
    """Messages on a cell's stdout: notebooks show all of stderr as errors."""

    def message(self, text: str, warning: bool = False) -> None:
        """A line."""
        print(escaped(f"warning: {text}" if warning else text))


class NotebookDisplay(Display):
    """Bars as HTML, updated by each event; no widgets are needed."""

    def __init__(self) -> None:
        super().__init__(_CellOutput())
        self.live = True
        self._bars: dict[str, str] = {}
        self._handle: Any = None

    def _update(self, task: str, description: str, done: float, total: float, detail: Sequence[str]) -> None:
        text = escape_html("  ".join([description, *filter(None, detail)]))
        self._bars[task] = f"<progress value='{done}' max='{total}'></progress> {text}"
        self._draw()
        if done >= total:
            self._drop(task)

    def _drop(self, task: str) -> None:
        self._began.pop(task, None)
        if self._bars.pop(task, None) is not None:
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        drawn = HTML("<br>".join(self._bars.values()))
        if self._handle is None:
            self._handle = display(drawn, display_id=True)
        else:
            self._handle.update(drawn)
