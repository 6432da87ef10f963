"""The notes of a report: what is left out and why, and what differs within a group."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clearctl.config.load import flatten
from clearctl.metrics import NUMBERS
from clearctl.report.groups import NONE, Group
from clearctl.report.labels import one_line
from clearctl.report.runs import Run, by_dataset
from clearctl.wording import counted, plural

DAGGER = "†"
ON_TRAINING_IMAGES = (
    f"{DAGGER} on training images: under the streaming protocol a bucket is tested on the images it was trained on, so"
    " these numbers say how well a model remembers, not how well it generalises, and are never in bold"
)
# The keys of environment.json that may differ within a group: those that differ for each run by their nature, paths,
# those that distinguish groups, and those that have their own remark.
_EXPECTED = ("seed", "wandb_run", "mlflow_run", "config", "dataset.root", "dataset.fingerprint")
_PARTED = ("dataset.filelists", "dataset.features", "dataset.class_names", "weights", "resumed")
_COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")  # the first letters of a git commit are enough
_WORDS = {
    "clearctl": "the version of clearctl",
    "python": "the version of Python",
    "git": "the git commit of the working directory",
    "device": "the device",
    "device_name": "the name of the device",
    "gpu.driver": "the version of the GPU's driver",
    "gpu.driver_cuda": "the newest CUDA that the GPU's driver knows",
    "gpu.cuda": "the version of CUDA",
    "gpu.cudnn": "the version of cuDNN",
    "gpu.memory_bytes": "the GPU's memory in bytes",
    "gpu.capability": "the GPU's capability",
    "torch_threads": "the number of torch's threads",
    "processes": "the number of processes",
    "stacked": "how many runs were trained as one stack",
    "graph": "whether the steps were captured in CUDA graphs",
}


@dataclass(frozen=True)
class Remark:
    """A sentence, of the group of that index, or of all.

    `of_folders` says that it names folders, `of_mark` that it explains the dagger of a table, and `warns` that
    something may be wrong.
    """

    text: str
    group: int | None = None
    of_folders: bool = False
    of_mark: bool = False
    warns: bool = True


def remarks(groups: Sequence[Group]) -> list[Remark]:
    """All of a report, those of all groups first."""
    found = list(_of_all(groups))
    for index, group in enumerate(groups):
        for make in (
            _of_selection,
            _of_diverged,
            _of_unfinished,
            _of_seeds_twice,
            _of_splits,
            _of_memory,
            _of_differences,
            _of_resumed,
        ):
            found += [replace(one, text=one_line(one.text), group=index) for one in make(group)]
    return found


def _of_all(groups: Sequence[Group]) -> Iterator[Remark]:
    datasets = by_dataset([run for group in groups for run in group.runs])
    if len(datasets) > 1:
        yield Remark(f"the runs are of {len(datasets)} datasets or choices of buckets: do not compare their numbers")
    held_out = [group.label for group in groups if group.runs[0].on_validation_images]
    if held_out:
        what = "on validation images, held out of the training part (scenario.validation), not on the test part"
        yield Remark(f"numbers {what}, to choose a setting by: {', '.join(held_out)}", warns=False)
    if any(group.on_training_images for group in groups):
        yield Remark(ON_TRAINING_IMAGES, of_mark=True)
    whole = [group.label for group in groups if "next_domain" in group.on_training_images]
    if whole:
        verb = "have" if len(whole) > 1 else "has"
        text = (
            f"{DAGGER} {', '.join(whole)} {verb} seen all images before the first test, so this holds for all numbers"
        )
        yield Remark(text, of_mark=True)


def _of_selection(group: Group) -> Iterator[Remark]:
    having: dict[str, list[Run]] = {}
    for run in group.counted:
        if run.selection is not None:
            having.setdefault(how_chosen(run.selection), []).append(run)
    for text, runs in having.items():
        whose = "" if len(runs) == len(group.counted) else f" ({_seeds(runs)})"
        yield Remark(f"{group.label}: {text}{whose}", warns=False)


def how_chosen(selection: Mapping[str, Any]) -> str:
    """`chosen of 6 settings by validation accuracy (mean of 5 seeds)`, of what selection.json holds."""
    name = selection["metric"].removeprefix("validation.")
    title = NUMBERS[name].title if name in NUMBERS else name
    seeds, first = selection["seeds"], selection["first"]
    mean = f"mean of {counted(seeds, 'seed')}" if seeds > 1 else "one seed"
    on = "" if first is None else f", on the first {counted(first, 'bucket')}"
    return f"chosen of {counted(selection['tried'], 'setting')} by validation {title} ({mean}{on})"


def _of_diverged(group: Group) -> Iterator[Remark]:
    if not group.diverged:
        return
    total = len(group.runs)
    many = f"{len(group.diverged)} of {counted(total, 'run')} diverged"
    means = "included in the means" if group.include_diverged else "left out of the means"
    places = [f"{_seeds([run])} in bucket {run.diverged['bucket']}" for run in group.diverged if run.diverged]
    yield Remark(f"{group.label}: {many} ({', '.join(places)}), {means}")


def _of_unfinished(group: Group) -> Iterator[Remark]:
    total = len(group.bucket_names)
    most = len(group.counted[0].matrix) if group.counted else 0
    for run in group.runs:
        done = len(run.matrix)
        what = f"{run.folder} is not finished ({done} of {total} buckets)"
        if done < most:
            yield Remark(f"{what}, so it is not included in the means of {group.label}", of_folders=True)
        elif done < total:
            yield Remark(f"{what}, so it has no summary numbers yet", of_folders=True)


def _of_seeds_twice(group: Group) -> Iterator[Remark]:
    for run in group.counted:
        others = [other for other in group.runs if other is not run and other.identity == run.identity]
        if others and not run.foreign:
            left_out = ", ".join(str(other.folder) for other in others)
            verb = "does" if len(others) == 1 else "do"
            text = f"{group.label}: of {_seeds([run])} {run.folder} is used, the newest; {left_out} {verb} not"
            yield Remark(text, of_folders=True)


def _of_splits(group: Group) -> Iterator[Remark]:
    """Runs that should have learned from the same samples, and did not."""
    seen: dict[Any, dict[str, list[Run]]] = {}
    for run in group.counted:
        print_ = run.environment["dataset"].get("fingerprint")
        if print_ is not None:
            split = run.values["scenario"].get("seed") if run.protocol == "iid" else None
            seen.setdefault(split, {}).setdefault(print_, []).append(run)
    for split, parted in seen.items():
        if len(parted) > 1:
            which = "samples" if split is None else f"splits of split seed {split}"
            yield Remark(
                f"{group.label}: {_listed(parted)} were trained on different {which}, although their configs agree"
            )


def _of_memory(group: Group) -> Iterator[Remark]:
    """A memory from which each bucket pushes out all that came before: replay repeats the newest bucket alone."""
    run = group.runs[0]
    buffer = {} if run.foreign else run.values["cl_strategy"].get("buffer") or {}
    always_enter = buffer.get("alpha_mode") == "Dynamic" and buffer.get("alpha_value", 1.0) >= 1
    if buffer.get("type") != "BiasedReservoirSamplingBuffer" or not always_enter or not run.epochs:
        return
    # Nothing is replayed in the first bucket, whose epochs have its samples alone.
    if buffer["max_size"] <= run.epochs[0].get("num_samples", 0):
        yield Remark(f"{group.label}: its memory contains samples of the newest bucket only (alpha_mode='Dynamic')")


def _of_differences(group: Group) -> Iterator[Remark]:
    """One for each kind of thing in which the runs that count were made differently."""
    flat = [dict(flatten(run.environment)) for run in group.counted]
    for key in dict.fromkeys(key for values in flat for key in values):
        if key in _EXPECTED or key.startswith(_PARTED):
            continue
        having: dict[str, list[Run]] = {}
        for run, values in zip(group.counted, flat, strict=True):
            value = values.get(key)
            if value is None and key.startswith("gpu."):  # on a CPU, already reported, or of an earlier clearctl
                continue
            having.setdefault(NONE if value is None else str(value), []).append(run)
        if len(having) > 1:
            name = f"the version of {key.removeprefix('packages.')}" if key.startswith("packages.") else key
            shown = {_COMMIT.sub(r"\1", value) if key == "git" else value: runs for value, runs in having.items()}
            parts = ", ".join(f"{value} ({_seeds(runs)})" for value, runs in shown.items())
            yield Remark(f"{group.label}: {_WORDS.get(key, name)} differs: {parts}")


def _of_resumed(group: Group) -> Iterator[Remark]:
    for run in group.counted:
        for entry in run.environment.get("resumed") or []:
            changes = [*entry.get("accepted", []), *entry.get("moved", [])]
            if changes:
                yield Remark(f"{group.label}: {_seeds([run])} was resumed with changes: {'; '.join(changes)}")


def _listed(parted: dict[str, list[Run]]) -> str:
    return " and ".join(_seeds(runs) for runs in parted.values())


def _seeds(runs: Sequence[Run]) -> str:
    seeds = sorted({run.seed for run in runs if run.seed is not None})
    return f"{plural('seed', len(seeds))} {', '.join(map(str, seeds))}" if seeds else str(runs[0].folder)
