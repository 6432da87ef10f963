"""A config as typed settings, which `config.fill` reads from it once: everything below needs no config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clearctl.config.findings import Fault
from clearctl.config.load import Config
from clearctl.errors import ConfigError
from clearctl.selection import Selection


@dataclass(frozen=True)
class Call:
    """A class to build: `type` names it, `arguments` are what the config gives it.

    `key` is its place in the config, `origin` the file that it came from.
    """

    type: str
    arguments: Mapping[str, Any]
    key: str
    origin: str

    def fault(self, message: str, argument: str = "") -> Fault:
        """A Fault for it, or for one `argument` of it."""
        return Fault(self.origin, f"{self.key}.{argument}" if argument else self.key, message)

    def error(self, message: str) -> ConfigError:
        """A ConfigError for it, to be raised."""
        return ConfigError(str(self.fault(message)))

    def having(self, **arguments: Any) -> "Call":
        """A copy with other `arguments` added or replaced."""
        return replace(self, arguments={**self.arguments, **arguments})

    def without(self, *names: str) -> "Call":
        """A copy without some arguments."""
        return replace(self, arguments={name: value for name, value in self.arguments.items() if name not in names})

    @property
    def entry(self) -> dict[str, Any]:
        """As in a config, dict(type=..., **arguments), the form in which mmcls's classes take each other."""
        return {"type": self.type, **self.arguments}


@dataclass(frozen=True)
class ScenarioSettings:
    """The stream of buckets. `buckets` and `selection.classes` are None for all that are prepared.

    `left_out`: also read the test images of classes outside the stream, for a metric.

    The argument `transforms` of a transform that holds others, such as RandomApply, is a list of Calls.
    """

    dataset_root: Path
    evaluation_protocol: str
    seed: int | None
    shot: int | None
    test_ratio: float
    feature_type: str | None
    buckets: Sequence[str] | None
    selection: Selection
    evaluate_on: str
    task_labels: str
    train_transform: tuple[Call, ...]
    eval_transform: tuple[Call, ...]
    left_out: bool = False

    @property
    def has_validation(self) -> bool:
        """Whether a part of the training images is held out."""
        return self.selection.validation is not None


@dataclass(frozen=True)
class ModelSettings:
    """The network: a `head`, with `backbone` and `neck` before it for images, or only a `torchmodel`.

    A `neck` may be several, one after another. `init_cfg` is mmcv's, a dict or a list of them.
    """

    backbone: Call | None
    neck: Call | tuple[Call, ...] | None
    head: Call | None
    torchmodel: Call | None
    init_cfg: Any
    pretrained: str | None
    freeze: tuple[str, ...]
    augments: tuple[Call, ...]

    @property
    def head_loss(self) -> Mapping[str, Any] | None:
        """The `loss` that the config gives its head, as mmcls takes it."""
        return self.head.arguments.get("loss") if self.head is not None else None


@dataclass(frozen=True)
class SchedulerSettings:
    """A scheduler, and when it steps. The argument `schedulers` of a SequentialLR or ChainedScheduler holds Calls."""

    call: Call
    by: str
    reset: bool | None
    watch: str


@dataclass(frozen=True)
class StrategySettings:
    """The strategy. `call` has its arguments, including those of Avalanche that every strategy takes.

    `train_mb_size`, `train_epochs`, `eval_mb_size` and `eval_every` are read from these.
    """

    call: Call
    optimizer: Call | None
    scheduler: SchedulerSettings | None
    loss: Call | None
    buffer: Call | None
    plugins: tuple[Call, ...]
    train_mb_size: int
    train_epochs: int
    eval_mb_size: int | None
    eval_every: int
    eval_every_steps: int | None

    @property
    def calls(self) -> tuple[Call, ...]:
        """The strategy and its plugins."""
        return (self.call, *self.plugins)


@dataclass(frozen=True)
class DataSettings:
    """Settings of reading samples."""

    workers: int
    loader: str
    cache: Literal["auto", "off", "ram", "disk"]
    cache_dir: str | None
    batch_per_rank: bool
    graph: Literal["auto", "off"]


@dataclass(frozen=True)
class ComputeSettings:
    """Settings of the network's computation: precision, memory format, compilation and determinism."""

    precision: str
    compile: bool
    channels_last: bool
    tf32: bool
    sync_bn: bool
    deterministic: bool


@dataclass(frozen=True)
class CheckpointSettings:
    """Settings of saving: weights every `interval` buckets, states every epoch, bucket or number of seconds."""

    interval: int
    state_every: str | float


@dataclass(frozen=True)
class Settings:
    """A whole config. `config` is its source, which the run folder keeps."""

    config: Config
    scenario: ScenarioSettings
    model: ModelSettings
    strategy: StrategySettings
    metrics: tuple[Call, ...]
    loggers: tuple[Call, ...]
    data: DataSettings
    compute: ComputeSettings
    checkpoints: CheckpointSettings
    work_dir: Path
    load_from: str | None
    seed: int
    stop_on_divergence: bool
    has_own_code: bool

    def fault(self, key: str, message: str) -> Fault:
        """A Fault for the value at the dotted `key`."""
        return Fault(self.config.origin(key), key, message)

    def error(self, key: str, message: str) -> ConfigError:
        """A ConfigError for the value at the dotted `key`, to be raised."""
        return ConfigError(str(self.fault(key, message)))
