"""The plan of a sweep with `--select`: the settings of its configs, and the runs that choose."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from clearctl import layout
from clearctl.config.check import require
from clearctl.config.fill import fill
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import UsageError
from clearctl.shortrepr import ShortRepr
from clearctl.sweep.cluster.engine import Cluster
from clearctl.sweep.grid import Grid, Range, grid_texts, read_ranges, require_no_ranges
from clearctl.sweep.plan import Combination, PlannedRun, find_states, list_combinations, list_runs
from clearctl.sweep.select.metric import SelectionMetric, read_metric
from clearctl.sweep.select.search import Search, require_optuna
from clearctl.sweep.sweep import SweepPlan, arrange, require_datasets
from clearctl.wording import counted

FOLDER = "selection"  # of the runs that choose
# The keys that decide which images are held out. Settings that differ in it are not measured on the same ones.
_SAME = (
    "dataset_root",
    "evaluation_protocol",
    "seed",
    "shot",
    "test_ratio",
    "buckets",
    "classes",
    "drop_classes",
    "validation",
)


@dataclass(frozen=True, repr=False)
class SelectionPlan(ShortRepr):
    """The settings to try, by which `metric`, on the first `first` buckets (None: on all).

    `settings` are the runs of a grid as in the configs, with their tests; those of a `search` are drawn one
    after another, and `settings` are then examples that span its ranges.
    """

    configs: Sequence[Path | str]
    seeds: Sequence[int] | None
    grid: Mapping[str, Sequence[str]]
    work_dir: Path | None
    dataset_root: Path | str | None
    metric: SelectionMetric
    first: int | None
    settings: list[PlannedRun]
    search: Search | None
    arranged: Callable[[list[PlannedRun]], SweepPlan]

    @property
    def folder(self) -> Path:
        """The folder of selection.json, and of the study."""
        return self.settings[0].work_dir if self.work_dir is None else self.work_dir

    @property
    def names(self) -> list[str]:
        """The names of the configs; of each a setting is chosen."""
        return list(dict.fromkeys(run.name for run in self.settings))

    @property
    def num_seeds(self) -> int:
        """The number of runs of a setting."""
        return 1 if self.seeds is None else len(self.seeds)

    @property
    def num_settings(self) -> int:
        """The number of settings that are tried, of all configs together."""
        return self.search.trials * len(self.names) if self.search else len(self.settings) // self.num_seeds

    @property
    def varied(self) -> list[str]:
        """The keys that labels name."""
        ranges = self.search.ranges if self.search else {}
        return [key for key, texts in self.grid.items() if len(texts) > 1 or key in ranges]

    def list_runs(self, combinations: Mapping[str, Sequence[Combination]]) -> list[PlannedRun]:
        """The runs of {name of a config: combinations of values} as in the configs, with all seeds."""
        return list_runs(
            self.configs,
            combinations,
            self.varied,
            self.seeds,
            work_dir=self.work_dir,
            dataset_root=self.dataset_root,
        )

    def selecting(self, runs: Sequence[PlannedRun]) -> SweepPlan:
        """The same runs on validation images, compared with the existing ones."""
        return self.arranged(find_states([self._on_validation(run) for run in runs]))

    def testing(self, runs: Sequence[PlannedRun]) -> SweepPlan:
        """The runs as planned, compared with the existing ones."""
        return self.arranged(find_states(runs))

    def _on_validation(self, run: PlannedRun) -> PlannedRun:
        scenario = {**run.config.values["scenario"], "evaluate_on": "validation"}
        if self.first is not None:
            scenario["buckets"] = _bucket_names(run)[: self.first]
        place = run.work_dir / FOLDER if self.work_dir is None else self.work_dir / FOLDER / run.work_dir.name
        values = {**run.config.values, "scenario": scenario, "work_dir": str(place)}
        return replace(run, config=replace(run.config, values=values))


def plan_selection(
    configs: Sequence[Path | str],
    metric: SelectionMetric | str,
    *,
    first: int | None = None,
    trials: int | None = None,
    sampler_seed: int | None = None,
    seeds: Sequence[int] | None = None,
    grid: Grid | None = None,
    work_dir: Path | str | None = None,
    dataset_root: Path | str | None = None,
    jobs: int | None = None,
    device: str = "auto",
    cluster: Cluster | None = None,
    stack: bool = True,
) -> SelectionPlan:
    """The plan of a sweep that chooses a setting of each config by `metric` before it tests that one alone.

    The metric may be its name, such as `validation.accuracy`. It chooses on the first `first` buckets of the stream, by
    default on all. With `trials` that many settings of each config are drawn by Optuna from the grid, whose values may
    then be ranges (`LOW..HIGH`), seeded by `sampler_seed`, by default the first seed. For the other arguments see
    `plan_sweep`. Nothing is written. Raises UsageError for configs without `scenario.validation`, for settings that
    cannot be compared and for a metric that does not exist, what `plan_sweep` raises, and CapabilityError without
    Optuna.
    """
    if isinstance(metric, str):
        metric = read_metric(metric)
    for name, number in {"first": first, "trials": trials}.items():
        if number is not None and number < 1:
            raise UsageError(f"{name} is {number}: expected 1 or more")
    texts = grid_texts(grid)
    search = None
    ranges = read_ranges(texts)
    if trials is not None:
        require_optuna()
        search = Search(trials, sampler_seed if sampler_seed is not None else (seeds or [0])[0], ranges)
        if not any(len(values) > 1 for values in texts.values()) and not ranges:
            raise UsageError("nothing to search: give --set KEY=LOW..HIGH, or KEY=V1,V2")
    else:
        require_no_ranges(texts)
    if "seed" in texts:
        raise UsageError("--set seed: a seed cannot be chosen: give seeds with --seeds")
    plan = SelectionPlan(
        configs=configs,
        seeds=seeds,
        grid=texts,
        work_dir=None if work_dir is None else Path(work_dir).expanduser().resolve(),
        dataset_root=dataset_root,
        metric=metric,
        first=first,
        settings=[],
        search=search,
        arranged=functools.partial(arrange, jobs=jobs, device=device, cluster=cluster, stack=stack),
    )
    combinations = _spanning(texts, ranges) if search else list_combinations(texts)
    runs = list_runs(configs, combinations, plan.varied, seeds, work_dir=plan.work_dir, dataset_root=dataset_root)
    for run in runs:
        _require_held_out(run, metric)
    _require_same_images(runs)
    require_datasets(runs)
    for run in {run.name: run for run in runs}.values():
        _require_buckets(run, metric, first)
    plan = replace(plan, settings=runs)
    for planned in plan.selecting(runs).runs:
        require(planned.config, CATALOGUE)
    return plan


def _spanning(grid: Mapping[str, Sequence[str]], ranges: Mapping[str, Range]) -> list[Combination]:
    """Combinations in which each value and the ends of each range are once at least."""
    values = {
        key: [repr(ranges[key].low), repr(ranges[key].high)] if key in ranges else list(texts)
        for key, texts in grid.items()
    }
    most = max(map(len, values.values()))
    return [[(key, texts[index % len(texts)]) for key, texts in values.items()] for index in range(most)]


def _bucket_names(run: PlannedRun) -> list[str]:
    scenario = fill(run.config).scenario
    return [str(name) for name in scenario.buckets or layout.read_bucket_indices(scenario.dataset_root)]


def _require_held_out(run: PlannedRun, metric: SelectionMetric) -> None:
    scenario = fill(run.config).scenario
    if not scenario.has_validation:
        raise UsageError(
            f"--select {metric.name}: {run.label} has no validation images: add"
            " --set scenario.validation=0.1, or write it into the config"
        )
    if scenario.evaluate_on != "test":
        raise UsageError(
            f"--select {metric.name}: {run.label} has scenario.evaluate_on={scenario.evaluate_on!r}, so nothing"
            " would be tested: leave it out"
        )


def _require_same_images(runs: Sequence[PlannedRun]) -> None:
    """Raise UsageError if settings of a config are not measured on the same images with a seed."""
    firsts: dict[tuple[str, int], PlannedRun] = {}
    for run in runs:
        other = firsts.setdefault((run.name, run.seed), run)
        key = next(_differing(run, other), None)
        if key is not None:
            raise UsageError(
                f"{other.label} and {run.label} differ in scenario.{key}, so their validation images differ and cannot"
                " be compared: use one sweep for each"
            )


def _differing(run: PlannedRun, other: PlannedRun) -> Iterator[str]:
    one, two = (each.config.values["scenario"] for each in (run, other))
    return (key for key in _SAME if repr(one.get(key)) != repr(two.get(key)))


def _require_buckets(run: PlannedRun, metric: SelectionMetric, first: int | None) -> None:
    there = len(_bucket_names(run))
    if first is not None and first > there:
        raise UsageError(f"--select-on first:{first}: {run.name} has {counted(there, 'bucket')}")
    metric.require_buckets(first or there)
