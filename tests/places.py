"""A run in a process of its own that says which places it passes, and ends or waits at one of them.

A place in a run has a label, which is the same in every process:

("untrained",)                    the model was tested before any training, and no state is saved yet
("set-up", bucket)                Avalanche's set-up of a bucket is over, its first epoch not begun
("step", bucket, epochs, steps)   a training step is done, its state not saved yet
("test", bucket, epochs, steps)   the `steps`-th step of a test is done; before the bucket's set-up `epochs` is -1
("after training", bucket)        the plugins have done their work at the end of a bucket
("results", bucket)               eval.json and accuracy_matrix.csv are written, the weights are not
("bucket", bucket)                all of a bucket is on disk, the state of the next is not
("half", file)                    half of a state file is written, under its temporary name
("renamed", file)                 a state file is whole, and what is older not removed
("loaded", number)             a state was loaded, for the `number`-th time in this process
("written", file)                 a checkpoint is written, its line in SHA256SUMS is not; or SHA256SUMS is
("states removed", number)                the run is finished, and `number` of its states are removed
"""

import gc
import math
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Label = tuple[Any, ...]

PATIENCE_S = 300.0  # from a hang, not from slowness


@dataclass(frozen=True)
class Work:
    """What a process does: it resumes a run folder, or trains a config file with `arguments` of `train`.

    At the place `at` it gets each of `signals`, first to last; where there are none, it waits there. With a later place
    `before` it only says that it passes `at`, and waits there: in between it can be killed at any time. `saving` is
    "steps" (a state after every step, on disk before the next), "epochs", "buckets", "nothing", or as the config has
    it. `settled` lets a save that is under way in the background end before the signal comes.
    `most_bytes` is how long a file may become, `own_bytes` how much memory of its own the process may get beside what
    its server has. With `own_group` the process leads a group of processes. Where it waits, SIGUSR1 lets it continue.
    One that `tests` tests the checkpoints of a run folder, with `arguments` of `evaluate`. torch has `threads` threads,
    and `environ` comes on top of the environment.
    """

    target: Path
    arguments: dict[str, Any] = field(default_factory=dict)
    at: Label | None = None
    before: Label | None = None
    signals: tuple[int, ...] = (signal.SIGKILL,)
    saving: str = "as configured"
    settled: bool = True
    most_bytes: int | None = None
    own_bytes: int | None = None
    tests: bool = False
    own_group: bool = False
    threads: int = 1
    environ: dict[str, str] = field(default_factory=dict)


def do(work: Work, messages: Connection) -> None:
    """Do the work in this process, reporting through `messages`."""
    gc.freeze()  # a collection would write to, and so copy, all that the server has imported
    multiprocessing.set_start_method("fork", force=True)  # its own workers, as in any process but one of a fork server
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started the tests in the background
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import torch

    from clearctl import evaluate, train
    from clearctl.engine.run.resume import resume
    from clearctl.errors import ClearctlError, Stopped
    from clearctl.progress import Event, Message

    one_at_a_time = threading.RLock()  # states are written in the background, and a signal comes at any moment

    def send(kind: str, value: Any) -> None:
        with one_at_a_time:
            messages.send((kind, value))

    def listen(event: Event) -> None:
        if isinstance(event, Message):
            send("said", (event.text, event.warning))

    os.environ.pop("WANDB_SERVICE", None)  # another test's, which would outlive a kill and keep the run's id in use
    os.environ.update(work.environ)
    torch.set_num_threads(work.threads)
    if work.own_group:
        os.setpgid(0, 0)
    if work.most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (work.most_bytes, work.most_bytes))
    if work.own_bytes is not None:
        limit_own_memory(work.own_bytes)
    places = _Places(work, send)
    places.watch()
    _save(work.saving)
    do = evaluate if work.tests else resume if work.target.is_dir() else train
    try:
        result = do(work.target, listener=listen, **work.arguments)
    except (ClearctlError, Stopped) as error:
        send("failed", (type(error).__name__, str(error)))
        sys.exit(error.exit_code)
    send("places", places.seen)
    send("done", (work.target if work.tests else result.run, result.matrix.tolist()))


def limit_own_memory(more_bytes: int) -> None:
    """Let this process get so much more memory of its own; what it maps from files without writing is none."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    limit = int(status["VmData"].split()[0]) * 1024 + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class _Places:
    """Calls `passed` with the label of each place of the run that comes by."""

    def __init__(self, work: Work, send: Callable[[str, Any], None]) -> None:
        self.work = work
        self.send = send
        self.loop: Any = None
        self.seen: list[Label] = []
        self.set_up = -1  # the bucket whose set-up was the latest
        self.tested = self.loaded = 0

    def passed(self, *label: Any) -> None:
        self.seen.append(label)
        if label == self.work.at and self.work.before is not None:
            self.send("at", label)
            return
        if label != (self.work.before or self.work.at):
            return
        if self.work.settled and label[0] not in ("half", "renamed") and self.loop is not None:
            self.loop.saver.finish()
        goes_on: list[int] = []
        if not self.work.signals:  # before anyone knows that it waits
            signal.signal(signal.SIGUSR1, lambda *_: goes_on.append(1))
        self.send("at", label)
        for number in self.work.signals:
            os.kill(os.getpid(), number)
        if not self.work.signals:
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until and not goes_on:
                time.sleep(0.01)

    def watch(self) -> None:
        from avalanche.training.templates.base import BaseTemplate

        from clearctl import atomic
        from clearctl.engine.run import loop
        from clearctl.engine.states import files as state_files
        from clearctl.engine.states import results, state
        from clearctl.strategies.stepping.epochs import Epochs

        def learn(self: Any, *given: Any) -> None:
            places.loop = self

        def step_done(self: Any) -> None:
            place, training = self.epochs, self.experiment.strategy.is_training
            if training:
                places.passed("step", self._bucket, place._done, place._batches.steps)
            else:
                places.tested += 1
                epochs = place._done if places.set_up == self._bucket else -1
                places.passed("test", self._bucket, epochs, places.tested)

        def test_begins(self: Any, *given: Any, **named: Any) -> None:
            places.tested = 0

        def set_up(self: Any, *given: Any, **named: Any) -> None:
            places.set_up = places.loop._bucket
            places.passed("set-up", places.set_up)

        def loaded(self: Any, *given: Any, **named: Any) -> None:
            places.loaded += 1
            places.passed("loaded", places.loaded)

        places = self
        _first(loop.TrainingLoop, "learn", learn)
        _first(loop.TrainingLoop, "_step_done", step_done)
        _first(BaseTemplate, "eval", test_begins)
        _first(Epochs, "_train_exp", set_up)
        _then(loop, "model_accuracies", lambda *_: self.passed("untrained"))
        _then(BaseTemplate, "_after_training_exp", lambda *_, **__: self.passed("after training", self.loop._bucket))
        _then(results.RunResults, "write", lambda *_: self.passed("results", self.loop._bucket))
        _then(loop.TrainingLoop, "_end_bucket", lambda *_: self.passed("bucket", self.loop._bucket))
        _then(state.RunState, "load_state", loaded)
        self._watch_files(atomic)
        self._watch_removal(loop.TrainingLoop, state_files)

    def _watch_files(self, atomic: Any) -> None:
        """In the middle of the writing of a state, and right after it; and after that of a checkpoint and its sum."""
        replacing = atomic.replacing

        @contextmanager
        def watched(path: Path, **how: Any) -> Iterator[Any]:
            with replacing(path, **how) as temporary:
                yield _Halting(temporary, lambda: self.passed("half", path.name)) if is_state(path) else temporary
            if is_state(path):
                self.passed("renamed", path.name)
            elif path.parent.name == "checkpoints":
                self.passed("written", path.name)

        def is_state(path: Path) -> bool:
            return path.suffix == ".state"

        atomic.replacing = watched

    def _watch_removal(self, loop: Any, state_files: Any) -> None:
        """At the end of a run."""
        remove_all, unlink = state_files.remove_all, Path.unlink

        def watched(folder: Path) -> None:
            removed = 0

            def counted(path: Path, missing_ok: bool = False) -> None:
                nonlocal removed
                unlink(path, missing_ok)
                removed += path.suffix == ".state"
                self.passed("states removed", removed)

            self.passed("states removed", 0)
            Path.unlink = counted  # type: ignore[method-assign]
            try:
                remove_all(folder)
            finally:
                Path.unlink = unlink  # type: ignore[method-assign]

        state_files.remove_all = watched


class _Halting:
    """A path whose file tells `half` when half of a state is in it."""

    def __init__(self, path: Path, half: Callable[[], None]) -> None:
        self.path = path
        self.half = half

    @contextmanager
    def open(self, mode: str) -> Iterator["_Halting"]:
        with self.path.open(mode) as self.file:
            yield self

    def write(self, data: bytes | memoryview) -> None:
        middle = len(data) // 2
        self.file.write(data[:middle])
        if isinstance(data, memoryview):  # not the line with the digest, which comes first
            self.file.flush()
            self.half()
        self.file.write(data[middle:])


def _first(owner: Any, name: str, act: Callable[..., None]) -> None:
    """Let `act` be called with what `owner.name` is called with, before it."""
    real = getattr(owner, name)

    def both(*given: Any, **named: Any) -> Any:
        act(*given, **named)
        return real(*given, **named)

    setattr(owner, name, both)


def _then(owner: Any, name: str, act: Callable[..., None]) -> None:
    """The same, after it."""
    real = getattr(owner, name)

    def both(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        act(*given, **named)
        return found

    setattr(owner, name, both)


def _save(when: str) -> None:
    """Let states be saved at other times than the config has it."""
    from clearctl.engine.states import saver

    real = saver.Saver.__init__
    every = {"steps": 1e-9, "epochs": "epoch", "buckets": "bucket"}.get(when)

    def begin(self: Any, folder: Path, configured: Any, listener: Any, *, in_background: bool) -> None:
        real(self, folder, every or configured, listener, in_background=in_background and when != "steps")

    if when == "epochs":
        _first(
            saver.Saver, "is_due", lambda self, **_: self.finish()
        )  # else an epoch may be too short for the last save
    if every is not None:
        saver.SHARE = math.inf
        saver.Saver.__init__ = begin  # type: ignore[method-assign]
    if when == "nothing":
        saver.Saver.save = lambda *_, **__: None  # type: ignore[method-assign]
