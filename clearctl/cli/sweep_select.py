"""`clearctl sweep --select`: how both stages and their results are shown."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from clearctl import rundir
from clearctl.cli import sweep_lines
from clearctl.cli.console import output
from clearctl.cli.lines import Label
from clearctl.cli.next_commands import same_command
from clearctl.cli.sweep_table import SweepDisplay
from clearctl.cli.tables import summary_table
from clearctl.errors import Stopped
from clearctl.report.groups import Group, shown
from clearctl.report.remarks import how_chosen, remarks
from clearctl.report.runs import read_run
from clearctl.sweep.outcome import SweepListener
from clearctl.sweep.select.choice import Choice, Measured
from clearctl.sweep.select.metric import SelectionMetric, read_first, read_metric
from clearctl.sweep.select.plan import SelectionPlan, plan_selection
from clearctl.sweep.select.run import SelectionResult, StagePlan, run_selection
from clearctl.wording import all_of, counted

if TYPE_CHECKING:
    from clearctl.sweep.local import LocalEngine


def select_and_test(
    configs: Sequence[Path],
    metric: str,
    arguments: Mapping[str, Any],
    *,
    local: "LocalEngine | None",
    dry_run: bool,
    json: bool,
) -> None:
    """Choose settings by `metric` and test them; `arguments` are those of `plan_selection`, `first` as text."""
    first = None if arguments["first"] is None else read_first(arguments["first"])
    plan = plan_selection(configs, read_metric(metric), **{**arguments, "first": first})
    output.message(_headline(plan))
    if dry_run:
        _dry_run(plan, json)
        return
    result = run_selection(plan, stage=_shown_stage, local=local)
    if json:
        output.json(_as_json(plan, result))
    else:
        for choice in result.choices:
            output.stdout.print(_settings_table(choice, plan.metric))
        _show_tests(result)
    _say(plan, result, json)
    sweep_lines.list_failed(result.failed)
    if result.failed:
        raise typer.Exit(result.failed[0][1].exit_code)


@contextmanager
def _shown_stage(stage: StagePlan) -> Iterator[SweepListener]:
    output.message(f"{stage.title}, on {'the test part' if stage.tests else 'validation images'}:")
    sweep_lines.show_plan(stage.plan)
    display = SweepDisplay(output, stage.plan.runs, "" if stage.tests else "validation")
    try:
        with display:
            yield display.show
    except Stopped:
        sweep_lines.list_failed(display.failed)
        raise


def _headline(plan: SelectionPlan) -> str:
    """The number of settings that are tried and that are tested, each with the number of runs."""
    runs, tests = plan.num_settings * plan.num_seeds, len(plan.names) * plan.num_seeds
    on = "" if plan.first is None else f" on the first {counted(plan.first, 'bucket')}"
    tried = f"{counted(plan.num_settings, 'setting')} of {counted(len(plan.names), 'config')}"
    return (
        f"selection by {plan.metric.title}{on}: {tried}, {counted(runs, 'run')};"
        f" then the test of the chosen: {counted(tests, 'run')}"
    )


def _dry_run(plan: SelectionPlan, json: bool) -> None:
    stages: dict[str, dict[str, Any]] = {
        "select": {"metric": plan.metric.name, "first": plan.first, "settings": plan.num_settings},
        "test": {"settings": len(plan.names), "runs": len(plan.names) * plan.num_seeds},
    }
    if plan.search is not None:
        stages["select"]["runs"] = plan.num_settings * plan.num_seeds
        if json:
            output.json({"engine": "optuna", **stages})
        for key in plan.varied:
            output.message(f"{key}: {', '.join(plan.grid[key])}")
        if not json:
            output.next_command(*same_command("dry_run"))
        return
    sweep = plan.selecting(plan.settings)
    sweep_lines.show_plan(sweep)
    sweep_lines.show_dry_run(sweep, json, stages)


def _settings_table(choice: Choice, metric: SelectionMetric) -> Table:
    """All settings of a config with what they were chosen by, in percent."""
    table = Table(title=f"\n{choice.config}: {metric.title} (%)", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column("setting", overflow="fold")
    table.add_column("mean ± std", justify="right", no_wrap=True)
    table.add_column("n", justify="right")
    table.add_column("")
    for setting in choice.settings:
        found = setting.spread
        mean = "-" if found is None else shown(metric.number, found.mean)
        if found is not None and found.std is not None:
            mean = f"{mean} ± {shown(metric.number, found.std)}"
        note = "chosen" if setting is choice.chosen else setting.why_not
        style = "bold green" if setting is choice.chosen else ""
        table.add_row(Label(setting.label, style), Text(mean, style), str(len(setting.runs)), Text(note, style))
    return table


def _show_tests(result: SelectionResult) -> None:
    """The test numbers of the chosen settings, where all runs of one are finished, and what to know of them."""
    groups = []
    for choice in result.choices:
        assert choice.chosen is not None
        folders = [outcome.run for run, outcome in result.tested if run.label == choice.chosen.label]
        runs = tuple(read_run(folder) for folder in folders if folder is not None and rundir.is_finished(folder))
        if runs:
            groups.append(Group(choice.chosen.label, runs, {}))
    if not groups:
        return
    output.stdout.print(summary_table(groups, bold=output.bold))
    for remark in remarks(groups):
        if remark.of_mark:
            output.stdout.print(f"\n{textwrap.fill(remark.text, 80)}")


def _say(plan: SelectionPlan, result: SelectionResult, json: bool) -> None:
    for choice, record in zip(result.choices, result.records, strict=True):
        output.message(f"{record['chosen']}: {how_chosen(record)}")
        if choice.ties:
            text = f"{all_of(choice.ties)} had the same mean: the first one was chosen"
            output.message(f"{choice.config}: {text}", warning=True)
        for setting in choice.settings:
            if setting.why_not:
                output.message(f"{setting.label} could not be chosen: {setting.why_not}", warning=True)
    sweep_lines.list_diverged(result.tested)
    output.message(f"what was tried is in {rundir.selection_file(plan.folder)}")
    if not json:
        sweep_lines.suggest_report([run for run, _ in result.tested])


def _as_json(plan: SelectionPlan, result: SelectionResult) -> dict[str, Any]:
    tested: list[Measured] = result.tested
    return {
        "select": {"file": str(rundir.selection_file(plan.folder)), "choices": result.records},
        **sweep_lines.as_json(result.plan, [outcome for _, outcome in tested]),
        **({} if plan.search is None else {"engine": "optuna"}),
    }
