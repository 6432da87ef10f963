"""Metric values as text lines, in a file or on stderr."""

import sys
from pathlib import Path

import torch
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.logging import TextLogger as AvalancheTextLogger

from clearctl.strategies.loggers.run_logger import RunLogger


class TextLogger(AvalancheTextLogger, RunLogger):
    """Metric values as text lines, appended to `file` (by default log.txt of the run folder)."""

    def __init__(self, file: str | None = None) -> None:
        assert file is not None, "the builder fills in the run folder's log.txt"
        path = Path(file).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file=path.open("a", buffering=1, encoding="utf-8"))

    def _val_to_str(self, m_val: object) -> str:
        """A value as text; if it has several forms, its numbers. Avalanche's writes its address in memory."""
        if isinstance(m_val, AlternativeValues):
            m_val = m_val.best_supported_value(torch.Tensor, float, int)
            return "a figure" if m_val is None else self._val_to_str(m_val)
        if isinstance(m_val, float) and abs(m_val) >= 1e6:  # as in a run that diverges: up to 39 digits
            return f"{m_val:.4g}"
        text: str = super()._val_to_str(m_val)
        return text

    def files(self) -> list[Path]:
        """The text file."""
        return [Path(self.file.name)]

    def flush(self) -> None:
        """Write all that was logged."""
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class _CurrentStderr:
    """Writes to whatever sys.stderr is at that moment, so that a live display can put the lines above itself."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


class InteractiveLogger(AvalancheTextLogger, RunLogger):
    """Metric values as text lines on stderr. Avalanche's own draws a tqdm bar as well; the progress here is rich's."""

    def __init__(self) -> None:
        super().__init__(file=_CurrentStderr())
