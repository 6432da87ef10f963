"""A sweep with `--select`: runs on validation images choose a setting of each config, and only that one is tested."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from clearctl.errors import RunError
from clearctl.progress import Message
from clearctl.shortrepr import ShortRepr
from clearctl.sweep.local import LocalEngine
from clearctl.sweep.outcome import RunOutcome, SweepListener, ignore
from clearctl.sweep.plan import PlannedRun, run_label
from clearctl.sweep.select.choice import Choice, Measured, choose
from clearctl.sweep.select.plan import FOLDER, SelectionPlan
from clearctl.sweep.select.record import earlier_choices, record, write_choices, write_to_runs
from clearctl.sweep.select.search import BATCH, Study, Trial, open_storage
from clearctl.sweep.sweep import SweepPlan, run_sweep
from clearctl.wording import few


@dataclass(frozen=True)
class StagePlan:
    """A stage that begins: its runs, and whether they are `tests`. `title` says which it is."""

    title: str
    plan: SweepPlan
    tests: bool = False


# Called as each stage begins; what it gives is open while the stage lasts, and listens to its runs.
Stage: TypeAlias = Callable[[StagePlan], AbstractContextManager[SweepListener]]


@dataclass(frozen=True, repr=False)
class SelectionResult(ShortRepr):
    """The `choices`, one of each config, with their `records` in selection.json.

    `measured` are all runs on validation images, `tested` those of the chosen settings, carried out as `plan` says.
    """

    choices: list[Choice]
    records: list[dict[str, Any]]
    measured: list[Measured]
    plan: SweepPlan
    tested: list[Measured]

    @property
    def failed(self) -> list[Measured]:
        """The runs of both stages that failed."""
        return [pair for pair in [*self.measured, *self.tested] if pair[1].status == "failed"]


@contextmanager
def _silent(stage: StagePlan) -> Iterator[SweepListener]:
    yield ignore


def run_selection(plan: SelectionPlan, *, stage: Stage = _silent, local: LocalEngine | None = None) -> SelectionResult:
    """Carry out both stages of a plan; what is finished is not run again.

    No test image is read until all settings are measured and the choices are written down. `local` carries out the
    runs on this machine, if it was started before. Raises RunError if no setting of a config can be chosen, and what
    `run_sweep` raises: the same plan, made again, continues.
    """
    first = _FirstStage(plan, stage, local)
    if plan.search is None:
        first.measure(plan.settings, "selection")
    else:
        _search(plan, first)
    choices = choose(first.measured, plan.metric)
    _require_chosen(choices, plan)
    engine = "grid" if plan.search is None else "optuna"
    records = [record(choice, plan.metric, plan.first, engine) for choice in choices]
    notices = list(earlier_choices(plan.folder, records))
    write_choices(plan.folder, records)
    chosen = {choice.chosen.label for choice in choices if choice.chosen is not None}
    test = plan.testing([run for run in first.settings if run.label in chosen])
    with stage(StagePlan("test", test, tests=True)) as listener:
        for text in notices:
            listener(Message(text, warning=True))
        tested = list(zip(test.runs, run_sweep(test, listener=listener, local=local).outcomes, strict=True))
    for one in records:
        write_to_runs(one, [outcome for run, outcome in tested if run.label == one["chosen"]])
    return SelectionResult(choices, records, first.measured, test, tested)


@dataclass
class _FirstStage:
    """Measures settings on validation images. `settings` are the runs as their configs have them, so far."""

    plan: SelectionPlan
    stage: Stage
    local: LocalEngine | None
    settings: list[PlannedRun] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)

    def measure(self, runs: Sequence[PlannedRun], title: str) -> None:
        sweep = self.plan.selecting(runs)
        with self.stage(StagePlan(title, sweep)) as listener:
            outcomes: list[RunOutcome] = run_sweep(sweep, listener=listener, local=self.local).outcomes
        self.settings += runs
        self.measured += zip(sweep.runs, outcomes, strict=True)


def _search(plan: SelectionPlan, first: _FirstStage) -> None:
    """Draw and measure the trials of each config, batch after batch; of equal ones the setting is measured once."""
    search = plan.search
    assert search is not None
    with open_storage(plan.folder / FOLDER) as storage:
        studies = {
            name: Study(storage, _study_name(plan, name), plan.grid, search, plan.metric.lower_is_better)
            for name in plan.names
        }
        seen: set[str] = set()
        for number in range(search.num_batches):
            begin, end = number * BATCH, min((number + 1) * BATCH, search.trials)
            drawn = {name: study.batch(number)[: end - begin] for name, study in studies.items()}
            combinations: dict[str, list[Any]] = {}
            for name, trials in drawn.items():
                new = {run_label(name, trial.combination, plan.varied): trial.combination for trial in trials}
                combinations[name] = [combination for label, combination in new.items() if label not in seen]
                seen.update(new)
            if any(combinations.values()):
                which = f"{begin + 1}-{end}" if end - begin > 1 else str(end)
                first.measure(plan.list_runs(combinations), f"trials {which} of {search.trials}")
            values = _values(plan, first.measured)
            for name, trials in drawn.items():
                for trial in trials:
                    _tell(studies[name], trial, values[run_label(name, trial.combination, plan.varied)])


def _values(plan: SelectionPlan, measured: Sequence[Measured]) -> dict[str, float | None]:
    """{label: mean of the metric}, None if the setting cannot be chosen."""
    settings = [setting for choice in choose(measured, plan.metric) for setting in choice.settings]
    return {setting.label: found.mean if (found := setting.spread) else None for setting in settings}


def _tell(study: Study, trial: Trial, value: float | None) -> None:
    if not trial.is_told:
        study.tell(trial, value)
    elif trial.value is not None and value is not None and not math.isclose(trial.value, value, abs_tol=1e-3):
        raise RunError(
            f"the study has {trial.value:.4f} for trial {trial.number + 1}, its runs {value:.4f}: the data changed\n"
            "start the search over in another --work-dir"
        )


def _study_name(plan: SelectionPlan, name: str) -> str:
    """The config's name, and a digest of all that its trials have in common."""
    assert plan.search is not None
    alike = [
        plan.metric.name,
        plan.first,
        plan.seeds and list(plan.seeds),
        plan.search.seed,
        plan.search.ranges,
        plan.grid,
        [{**run.config.values, "work_dir": ""} for run in plan.settings if run.name == name],
    ]
    return f"{name}-{hashlib.sha256(repr(alike).encode()).hexdigest()[:12]}"


def _require_chosen(choices: Sequence[Choice], plan: SelectionPlan) -> None:
    for choice in choices:
        if choice.chosen is None:
            reasons = few([f"{setting.label}: {setting.why_not}" for setting in choice.settings])
            what = f"no setting of {choice.config} can be chosen by {plan.metric.name}: none is tested"
            raise RunError(f"{what}\n{reasons}")
