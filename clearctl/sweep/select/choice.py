"""The best setting of each config by its runs on validation images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from clearctl.report.groups import Spread, spread
from clearctl.sweep.outcome import RunOutcome
from clearctl.sweep.plan import PlannedRun
from clearctl.sweep.select.metric import SelectionMetric

Measured = tuple[PlannedRun, RunOutcome]  # a run on validation images, and how it ended


@dataclass(frozen=True)
class Setting:
    """A config with values for some keys, its `runs` on validation images, one a seed, and the metric of each."""

    label: str
    runs: tuple[Measured, ...]
    values: tuple[float, ...]

    @property
    def why_not(self) -> str:
        """The reason why it cannot be chosen, in a few words; "" if it can."""
        for (run, outcome), value in zip(self.runs, self.values, strict=True):
            if outcome.diverged is not None:
                return f"seed {run.seed} diverged"
            if outcome.status != "finished":
                return f"seed {run.seed} {outcome.status}: {outcome.error.splitlines()[0] if outcome.error else ''}"
            if math.isnan(value):
                return f"seed {run.seed} has no such number"
        return ""

    @property
    def spread(self) -> Spread | None:
        """Mean and standard deviation over the seeds; None if it cannot be chosen."""
        return None if self.why_not else spread(self.values)

    def as_json(self) -> dict[str, Any]:
        """As selection.json and `--json` have it."""
        found = self.spread
        return {
            "label": self.label,
            "mean": found and found.mean,
            "std": found and found.std,
            "why_not": self.why_not or None,
            "runs": [
                {
                    "seed": run.seed,
                    "value": None if math.isnan(value) else value,
                    "folder": None if folder is None else str(folder),
                }
                for (run, outcome), value in zip(self.runs, self.values, strict=True)
                for folder in (outcome.run or run.run,)
            ],
        }


@dataclass(frozen=True)
class Choice:
    """The settings of a config, in the order of the plan, and the best of them: None if none can be chosen.

    `ties` are the labels of later ones whose mean is the same.
    """

    config: str
    settings: tuple[Setting, ...]
    chosen: Setting | None
    ties: tuple[str, ...] = ()

    @property
    def num_seeds(self) -> int:
        """The number of runs of each setting."""
        return len(self.settings[0].runs)


def choose(measured: Sequence[Measured], metric: SelectionMetric) -> list[Choice]:
    """The best setting of each config: of equal ones that which is first in the plan."""
    by_config: dict[str, dict[str, list[Measured]]] = {}
    for run, outcome in measured:
        by_config.setdefault(run.name, {}).setdefault(run.label, []).append((run, outcome))
    return [
        _choice(
            name,
            tuple(
                Setting(label, tuple(runs), tuple(metric.value(outcome) for _, outcome in runs))
                for label, runs in of_label.items()
            ),
            metric.lower_is_better,
        )
        for name, of_label in by_config.items()
    ]


def _choice(name: str, settings: tuple[Setting, ...], lower_is_better: bool) -> Choice:
    means = [(setting, found.mean) for setting in settings if (found := setting.spread) is not None]
    if not means:
        return Choice(name, settings, None)
    best = (min if lower_is_better else max)(mean for _, mean in means)
    chosen, *ties = [setting for setting, mean in means if mean == best]
    return Choice(name, settings, chosen, tuple(setting.label for setting in ties))
