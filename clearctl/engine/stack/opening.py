"""Opens the runs of a stack: new ones, or runs that resume at the start of a bucket."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from clearctl import rundir
from clearctl.config.settings import ScenarioSettings, Settings
from clearctl.distributed.randomness import random_states, seed_everything, set_random_states
from clearctl.engine.build.model import build_model
from clearctl.engine.build.samples import build_samples
from clearctl.engine.build.strategy_fit import require_strategy_fit
from clearctl.engine.build.stream import benchmark_of, build_stream
from clearctl.engine.machine import describe
from clearctl.engine.run.inputs import named_contents
from clearctl.engine.run.reopen import SharedData, reopen
from clearctl.engine.run.train import open_run, run_lock
from clearctl.engine.stack.captured import is_captured
from clearctl.engine.stack.member import Member
from clearctl.engine.states import files as state_files
from clearctl.errors import CapabilityError, RunError
from clearctl.progress import Listener, Message

_CPU = torch.device("cpu")  # for everything except the arithmetic
NEW = -1  # stands for the bucket of a run that has no state


def starting_bucket(run: Path | None) -> int | None:
    """The bucket at whose start a stack can resume an unfinished run; NEW if the run has no state.

    None if the run has to be resumed alone: its latest state is within a bucket, it was not trained in a stack, or its
    environment.json is damaged, which `resume` then reports.
    """
    if run is None or not rundir.has_state(run):
        return NEW
    keys = state_files.state_keys(rundir.state_folder(run))
    with suppress(RunError):
        if keys and keys[-1].is_start and "stacked" in rundir.read_environment(run):
            return keys[-1].bucket
    return None


class _Datasets:
    """Reads the datasets of several runs, once for all runs with the same scenario."""

    def __init__(self) -> None:
        self._read: list[tuple[ScenarioSettings, SharedData]] = []

    def of(self, settings: Settings, device: torch.device, listener: Listener) -> SharedData:
        for scenario, found in self._read:
            if scenario == settings.scenario:
                return found
        stream = build_stream(settings.scenario, settings.data, listener, device)
        if stream.is_mapped:
            raise CapabilityError(
                "the features do not fit in memory, and a stack holds them there\n"
                "use --no-stack: each run then reads its batches from the files"
            )
        samples = build_samples(settings, stream, _CPU, listener)
        description = stream.describe(settings.scenario.dataset_root)  # a digest of all features
        found = SharedData(stream, samples, benchmark_of(settings.scenario, samples), description)
        self._read.append((settings.scenario, found))
        return found


@dataclass(frozen=True)
class NewRuns:
    """New runs; `sources` are their config files."""

    runs: Sequence[Settings]
    sources: Sequence[str]

    def part(self, part: slice) -> "NewRuns":
        """Some of them."""
        return NewRuns(self.runs[part], self.sources[part])

    def open(self, device: torch.device, listeners: Sequence[Listener], ends: ExitStack) -> list[Member]:
        """Open the runs; `ends` closes their locks and files. If one fails, no run folder is left."""
        datasets = _Datasets()
        built = []
        for settings, listener in zip(self.runs, listeners, strict=True):
            shared = datasets.of(settings, device, listener)
            seed_everything(settings.seed)
            model = build_model(settings, shared.stream, listener)
            require_strategy_fit(settings, shared.stream, model, listener)
            built.append((shared, model, random_states()))
        members: list[Member] = []
        try:
            for settings, source, listener, (shared, model, states) in zip(
                self.runs, self.sources, listeners, built, strict=True
            ):
                environment = {
                    **describe(device, shared.description, settings.seed),
                    "config": source,
                    **named_contents(settings.config.values),
                    **_noted(settings, device, len(self.runs)),
                }
                run = rundir.create(settings.work_dir, settings.seed)
                ends.enter_context(run_lock(run))
                set_random_states(states)
                experiment = open_run(
                    settings, shared.stream, model, _CPU, run, shared.samples, environment, listener, shared.benchmark
                )
                member = Member(settings, experiment, shared.stream, run, listener, random_states())
                ends.callback(member.close)
                members.append(member)
        except BaseException:
            for member in members:
                shutil.rmtree(member.run)
            raise
        return members


@dataclass(frozen=True)
class BegunRuns:
    """Runs in `folders` that a stack resumes at the start of the same bucket."""

    runs: Sequence[Settings]
    folders: Sequence[Path]

    def part(self, part: slice) -> "BegunRuns":
        """Some of them."""
        return BegunRuns(self.runs[part], self.folders[part])

    def open(self, device: torch.device, listeners: Sequence[Listener], ends: ExitStack) -> list[Member]:
        """Open the runs; `ends` closes their locks and files.

        Raises RunError if they are no longer at the start of the same bucket, and what `resume` raises.
        """
        datasets = _Datasets()
        members: list[Member] = []
        for settings, run, listener in zip(self.runs, self.folders, listeners, strict=True):
            ends.enter_context(run_lock(run))
            noted = _noted(settings, device, len(self.runs))
            opened = reopen(
                run,
                settings,
                rundir.read_environment(run),
                device,
                listener=listener,
                shared=datasets.of(settings, device, listener),
                built_on=_CPU,
                noted=noted,
            )
            saved = opened.saved
            if saved is None or saved.within is not None or (members and saved.bucket != members[0].first_bucket):
                raise RunError(f"{run} is at another bucket than the other runs of its stack")
            member = Member(settings, opened.experiment, opened.stream, run, listener, random_states(), saved)
            ends.callback(member.close)
            members.append(member)
            listener(Message(f"resuming {run} at the start of bucket {opened.stream.bucket_names[saved.bucket]}"))
        return members


Runs = NewRuns | BegunRuns


def _noted(settings: Settings, device: torch.device, runs: int) -> dict[str, Any]:
    """The content of environment.json for a run in a stack of `runs`."""
    return {"stacked": runs, **({"graph": True} if is_captured(settings.data, device) else {})}
