"""The implicit meaning of a config of the predecessor, and of the same config in clearctl.

The predecessor is the collection of scripts that CLEAR's configs were written for, `clear_avalanche_mmlab`. With
`dialect='clear_avalanche_mmlab'` a config means here what it meant there: `translated` writes the predecessor's
defaults into it. With `dialect='clearctl'` it means what clearctl's documentation says. A config that names neither is
read as clearctl's, and `config check` and `train` print a notice for each difference that applies to it.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clearctl import rundir
from clearctl.config.keys import EVERY_STRATEGY
from clearctl.config.load import Config, flatten

CLEARCTL = "clearctl"
PREDECESSOR = "clear_avalanche_mmlab"
DIALECTS = (CLEARCTL, PREDECESSOR)
ORIGIN = f"dialect={PREDECESSOR!r}"

Values = dict[str, Any]

BEST_EPOCH = {"type": "RestoreBestEpoch", "metric": "train_accuracy"}
_BEST_EPOCH_THERE = "LoadBestPlugin"


@dataclass(frozen=True)
class Difference:
    """One difference in the meaning of a config in the predecessor.

    `applies` takes the unchecked values of a config. `write` is what to add to a config to get the
    predecessor's meaning, None if clearctl cannot have it; then `turn_on` is None too.
    """

    name: str
    applies: Callable[[Values], bool]
    there: str
    here: str
    write: str | None = None
    turn_on: Callable[[Values], None] | None = None

    def notice(self) -> str:
        """One line for a config that this difference applies to."""
        add = f"; to get that, add {self.write}" if self.write else ""
        return f"{self.name}: the predecessor {self.there}; clearctl {self.here}{add}"


def _section(values: Values, name: str) -> Values:
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def _calls(section: Values, name: str) -> list[Values]:
    found = section.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _is_strategy(values: Values, *types: str) -> bool:
    return _section(values, "cl_strategy").get("type") in types


def _learns_by_epochs(values: Values) -> bool:
    strategy = _section(values, "cl_strategy")
    epochs = strategy.get("train_epochs", EVERY_STRATEGY["train_epochs"].default)
    plugins = [entry.get("type") for entry in _calls(strategy, "plugins")]
    return isinstance(epochs, int) and epochs > 1 and BEST_EPOCH["type"] not in plugins


def _restore_best_epoch(values: Values) -> None:
    strategy = _section(values, "cl_strategy")
    rest = [entry for entry in _calls(strategy, "plugins") if entry.get("type") != _BEST_EPOCH_THERE]
    strategy["plugins"] = [*rest, dict(BEST_EPOCH)] if _learns_by_epochs(values) else rest


def _loads_without_freezing(values: Values) -> bool:
    model = _section(values, "model")
    frozen = model.get("freeze") or []
    return bool(values.get("load_from") and model.get("backbone")) and "backbone" not in frozen


def _freeze_what_is_loaded(values: Values) -> None:
    model = _section(values, "model")
    frozen = model.get("freeze") or []
    loaded = [part for part in ("backbone", "neck") if model.get(part) and part not in frozen]
    model["freeze"] = [*frozen, *loaded]


def _prints_no_text(values: Values) -> bool:
    loggers = _calls(values, "loggers")
    to_log = any(entry.get("type") == "TextLogger" and not entry.get("file") for entry in loggers)
    return to_log and not any(entry.get("type") == "InteractiveLogger" for entry in loggers)


def _print_text(values: Values) -> None:
    values["loggers"] = [*values["loggers"], {"type": "InteractiveLogger"}]


def _drop_shot(values: Values) -> None:
    _section(values, "cl_strategy").pop("shot", None)


def _has_no_task_labels(values: Values) -> bool:
    return isinstance(values.get("scenario"), dict) and "task_labels" not in values["scenario"]


def _label_buckets(values: Values) -> None:
    values["scenario"]["task_labels"] = "bucket"


def _has_biased_reservoir(values: Values) -> bool:
    buffer = _section(_section(values, "cl_strategy"), "buffer")
    return buffer.get("type") == "BiasedReservoirSamplingBuffer" and "evict" not in buffer


def _drop_newest_first(values: Values) -> None:
    values["cl_strategy"]["buffer"]["evict"] = "newest"


DIFFERENCES = (
    Difference(
        "best epoch",
        lambda values: _learns_by_epochs(values) or _names_load_best(values),
        "always restored the epoch with the highest training accuracy, before the test and before the next bucket",
        "keeps the last epoch",
        f"{BEST_EPOCH} to cl_strategy.plugins",
        _restore_best_epoch,
    ),
    Difference(
        "load_from",
        _loads_without_freezing,
        "trained only what it did not load, a linear probe",
        "trains all of the network",
        "freeze=['backbone'] to model",
        _freeze_what_is_loaded,
    ),
    Difference(
        "task labels",
        _has_no_task_labels,
        "gave bucket i the task label i, which balances the batches of Cumulative and GDumb and names metrics",
        "gives every bucket the label 0",
        "task_labels='bucket' to scenario",
        _label_buckets,
    ),
    Difference(
        "TextLogger",
        _prints_no_text,
        "printed its lines on the terminal, without a file",
        "writes them to log.txt of the run folder",
        "{'type': 'InteractiveLogger'} to loggers",
        _print_text,
    ),
    Difference(
        "Prototype(shot=...)",
        lambda values: _is_strategy(values, "Prototype") and "shot" in _section(values, "cl_strategy"),
        "took it as the batch size, on which class means do not depend",
        "knows no such argument: leave it out",
        turn_on=_drop_shot,
    ),
    Difference(
        "AGEM(reservoir=True)",
        lambda values: _is_strategy(values, "AGEM") and bool(_section(values, "cl_strategy").get("reservoir")),
        "had a reservoir of sample_size places, which overwrote the first bucket",
        "has a reservoir of patterns_per_exp places, of all buckets",
    ),
    Difference(
        "BiasedReservoirSamplingBuffer",
        _has_biased_reservoir,
        "dropped the newest of the earlier samples first",
        "drops earlier samples at random",
        "evict='newest' to cl_strategy.buffer",
        _drop_newest_first,
    ),
)


def _names_load_best(values: Values) -> bool:
    plugins = _calls(_section(values, "cl_strategy"), "plugins")
    return any(entry.get("type") == _BEST_EPOCH_THERE for entry in plugins)


def notices(config: Config) -> Iterator[str]:
    """A line for each difference that applies to a config and that it does not decide itself."""
    named = config.values.get("dialect")
    file = Path(config.file)
    is_of_run = rundir.config_file(file.parent) == file and rundir.is_run(file.parent)  # written by clearctl
    if named == CLEARCTL or is_of_run:
        return
    found = [each for each in DIFFERENCES if each.applies(config.values)]
    if named == PREDECESSOR:
        yield from (each.notice() for each in found if each.turn_on is None)
        return
    yield from (each.notice() for each in found)
    if found:
        yield f"dialect={PREDECESSOR!r} applies all that clearctl can; dialect={CLEARCTL!r} silences these notices"


def translated(config: Config) -> Config:
    """`config` with the defaults of its dialect written out, and without the key `dialect`; an unknown one stays."""
    if config.values.get("dialect") not in (None, *DIALECTS):
        return config
    values = copy.deepcopy(config.values)
    named = values.pop("dialect", None)
    if named == PREDECESSOR:
        for each in DIFFERENCES:
            if each.turn_on is not None and each.applies(values):
                each.turn_on(values)
    before = dict(flatten(config.values))
    written = {key: ORIGIN for key, value in flatten(values) if key not in before or before[key] != value}
    return replace(config, values=values, origins={**config.origins, **written})


# Defaults of clearctl's classes that have changed: (section of the model, type, argument, before, now).
_CHANGED_DEFAULTS = (("head", "CosineDistanceHead", "temperature", 10.0, 2.0),)


def write_out_defaults(values: Values, *, of_run: bool) -> None:
    """Write changed defaults into a checked config: the current ones, or into a run's config the earlier ones.

    So a run folder records its defaults, and one of an earlier version, which does not, keeps its meaning.
    """
    for place, kind, argument, before, now in _CHANGED_DEFAULTS:
        section = _section(_section(values, "model"), place)
        if section.get("type") == kind:
            section.setdefault(argument, before if of_run else now)
