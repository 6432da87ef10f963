"""Settings drawn by Optuna, in batches of a fixed size, so that nothing depends on which run ends first.

The study is a file in the work directory: it has what was drawn and how that went. A batch is drawn by a sampler that
is seeded by the batch's number and knows the batches before it, so that a search that was stopped draws what it would
have drawn, and one of more trials begins with the trials of a shorter one.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clearctl.errors import CapabilityError, RunError
from clearctl.lock import exclusive_lock
from clearctl.sweep.grid import Range
from clearctl.sweep.plan import Combination
from clearctl.wording import first_line

BATCH = 4  # trials that are drawn before any of them has ended


@dataclass(frozen=True)
class Search:
    """A search: `trials` of each config, the `seed` of the sampler, and the `ranges` {key: range} among the values."""

    trials: int
    seed: int
    ranges: Mapping[str, Range]

    @property
    def num_batches(self) -> int:
        """The number of batches of trials."""
        return -(-self.trials // BATCH)


@dataclass(frozen=True)
class Trial:
    """A setting that was drawn. `value` is its value in the study: None until it has one, or if it failed."""

    number: int
    combination: Combination
    is_told: bool
    value: float | None


class Study:
    """The trials of one config, in the study `name` of a file."""

    def __init__(self, storage: Any, name: str, grid: Mapping[str, Sequence[str]], search: Search, lower: bool) -> None:
        optuna = require_optuna()
        self._optuna = optuna
        self._search = search
        self._keys = list(grid)
        self._distributions = {key: _distribution(optuna, texts, search.ranges.get(key)) for key, texts in grid.items()}
        self._direction = "minimize" if lower else "maximize"
        self.is_new = name not in optuna.get_all_study_names(storage)
        self._study = optuna.create_study(
            storage=storage, study_name=name, direction=self._direction, load_if_exists=True
        )

    def batch(self, number: int) -> list[Trial]:
        """The trials of a batch, drawn now if they are not in the study yet. All earlier ones must be told."""
        first = number * BATCH
        trials = self._study.trials
        if len(trials) < first + BATCH:
            for params in self._draw(number, trials[:first])[len(trials) - first :]:
                # As one entry of the file, which a process that is killed leaves whole.
                self._study.add_trial(
                    self._optuna.trial.create_trial(
                        state=self._optuna.trial.TrialState.RUNNING, params=params, distributions=self._distributions
                    )
                )
            trials = self._study.trials
        return [
            Trial(
                trial.number,
                [(key, _text(trial.params[key])) for key in self._keys],
                trial.state.is_finished(),
                trial.value,
            )
            for trial in trials[first : first + BATCH]
        ]

    def tell(self, trial: Trial, value: float | None) -> None:
        """Write how a trial went: None if its setting cannot be chosen."""
        if value is None:
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial.number, value)

    def _draw(self, number: int, before: Sequence[Any]) -> list[dict[str, Any]]:
        digest = hashlib.sha256(f"{self._search.seed} {number}".encode()).digest()
        sampler = self._optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"), constant_liar=True)
        memory = self._optuna.create_study(sampler=sampler, direction=self._direction)
        memory.add_trials(before)
        drawn = [memory.ask(self._distributions).params for _ in range(BATCH)]
        return [{key: self._rounded(key, value) for key, value in params.items()} for params in drawn]

    def _rounded(self, key: str, value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return self._search.ranges[key].rounded(value)


@contextmanager
def open_storage(folder: Path) -> Iterator[Any]:
    """The file of the studies in `folder`, which no other process has open. Raises RunError for one that is broken."""
    optuna = require_optuna()
    file = folder / "study.journal"
    with exclusive_lock(folder / "study.lock", file, RunError):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            backend = optuna.storages.journal.JournalFileBackend(str(file))
            storage = optuna.storages.JournalStorage(backend)
        except OSError as error:
            raise RunError(f"{file} cannot be written: {error.strerror}\nchoose another --work-dir") from None
        except Exception as error:  # any error of Optuna's for a file of another program
            text = f"{file} cannot be read: {first_line(error)}"
            raise RunError(f"{text}\nremove it: trials are drawn again, and finished runs are kept") from None
        yield storage


def require_optuna() -> Any:
    """The library. Raises CapabilityError if it is not installed."""
    try:
        import optuna
    except ImportError:
        raise CapabilityError(
            "--engine optuna needs Optuna, which is not installed\ninstall it with `pip install 'clearctl[optuna]'`"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _distribution(optuna: Any, texts: Sequence[str], range_: Range | None) -> Any:
    if range_ is None:
        return optuna.distributions.CategoricalDistribution(list(texts))
    kind = optuna.distributions.IntDistribution if range_.is_whole else optuna.distributions.FloatDistribution
    return kind(range_.low, range_.high, log=range_.log)


def _text(value: Any) -> str:
    """A drawn value as `--set` has it: one of a list is text already."""
    return value if isinstance(value, str) else repr(value)
