"""What a config may say of a strategy, and how it is refused where it may not."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blobs import CLASSES, DIM, Built, by_key, strategy_settings

from clearctl import train
from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ConfigError
from clearctl.strategies import traits
from clearctl.strategies.build import check_against_stream
from clearctl.strategies.registry import PLUGINS, STRATEGIES

pytest_plugins = ("blobs",)

REFUSED_STRATEGIES = traits.refusals(traits.STRATEGIES)

OWN = {"Prototype", "NCM", "Ridge", "BatchSLDA", "RanPAC", "KLDA", "FeCAM"}  # clearctl's, which Avalanche lacks
SGD = dict(type="SGD", lr=0.1)


@pytest.fixture
def faults(write_config: Callable[..., Path]) -> Callable[..., list[tuple[str, str]]]:
    """`faults(base, **cl_strategy)`: (key, message) of each fault of such a config."""

    def find(base: str | None = None, **strategy: Any) -> list[tuple[str, str]]:
        return [(fault.key, fault.message) for fault in check(load(write_config(base, **strategy)), CATALOGUE)]

    return find


@pytest.mark.parametrize("name", REFUSED_STRATEGIES)
def test_refused_strategy_says_why(name: str, faults: Callable[..., Any]) -> None:
    found = faults(type=name, optimizer=SGD)
    assert found == [("cl_strategy.type", f"strategy {name!r} cannot be used: {REFUSED_STRATEGIES[name]}")]
    assert len(REFUSED_STRATEGIES[name]) > 30
    assert "\n" not in REFUSED_STRATEGIES[name]


def test_every_other_strategy_of_avalanche_is_there() -> None:
    import inspect

    from avalanche.training import supervised
    from avalanche.training.templates import BaseSGDTemplate

    present = {n for n, v in vars(supervised).items() if inspect.isclass(v) and issubclass(v, BaseSGDTemplate)}
    assert set(STRATEGIES.classes) == (present - set(REFUSED_STRATEGIES)) | OWN
    assert {"MER", "MIR", "FeatureReplay"} <= set(STRATEGIES.classes)
    assert not set(PLUGINS.classes) & set(traits.refusals(traits.PLUGINS))


@pytest.mark.parametrize(
    ("strategy", "hidden"),
    [
        ("ICaRL", ("feature_extractor", "classifier", "buffer_transform", "criterion")),
        ("StreamingLDA", ("slda_model", "output_layer_name")),
        ("CWRStar", ("evaluator",)),
        ("FeatureReplay", ("last_layer_name",)),
        ("Replay", ("storage_policy", "evaluator")),
    ],
)
def test_objects_are_filled_in_and_cannot_be_given(
    strategy: str, hidden: tuple[str, ...], faults: Callable[..., Any]
) -> None:
    needed = {"ICaRL": {"memory_size": 5}}.get(strategy, {})
    optimizer = {} if strategy == "StreamingLDA" else {"optimizer": SGD}
    assert faults(type=strategy, **needed, **optimizer) == []
    for name in hidden:
        ((key, message),) = faults(type=strategy, **needed, **optimizer, **{name: "head.fc"})
        assert (key, message.partition("; ")[0]) == (f"cl_strategy.{name}", f"{strategy} has no argument {name!r}")


def test_filled_values_can_be_given(build: Callable[..., Built]) -> None:
    built = build("cwr_star", cwr_layer_name="head.fc")
    assert built.plugin("CWRStarPlugin").cwr_layer_name == "head.fc"
    assert build("streaming_lda", num_classes=CLASSES, input_size=DIM).strategy.input_size == DIM
    with pytest.raises(ConfigError, match=r"cl_strategy: StreamingLDA rejects .* num_classes=3 and input_size=8"):
        build("streaming_lda", input_size=4)


def test_parts_that_a_strategy_has_no_use_for(faults: Callable[..., Any]) -> None:
    loss = dict(type="CrossEntropyLoss", loss_weight=1.0)
    scheduler = dict(type="StepLR", step_size=1)
    assert faults("prototype", optimizer=SGD, scheduler=scheduler) == [
        ("cl_strategy.optimizer", "Prototype learns without one: leave it out"),
        ("cl_strategy.scheduler", "Prototype learns without an optimizer: leave it out"),
    ]
    assert faults("icarl", loss=loss) == [("cl_strategy.loss", "ICaRL has its own loss: leave it out")]
    assert faults("replay", optimizer=None)[0][0] == "cl_strategy.optimizer"


def test_buffers_are_checked(faults: Callable[..., Any], build: Callable[..., Built]) -> None:
    assert faults("replay", buffer=dict(type="ReservoirSamplingBufer", max_size=2310)) == [
        (
            "cl_strategy.buffer.type",
            "no buffer is called 'ReservoirSamplingBufer'; did you mean 'ReservoirSamplingBuffer'?",
        )
    ]
    assert [key for key, _ in faults("replay", buffer=dict(type="ReservoirSamplingBuffer", size=3))] == [
        "cl_strategy.buffer.size",
        "cl_strategy.buffer",
    ]
    ((key, message),) = faults("ewc", buffer=dict(type="ReservoirSamplingBuffer", max_size=3))
    assert (key, message) == ("cl_strategy.buffer", "EWC has no argument 'buffer'")
    with pytest.raises(ConfigError, match="mem_size is 3300, but the buffer's max_size is 3"):
        build("replay", buffer=dict(type="ReservoirSamplingBuffer", max_size=3))
    with pytest.raises(ConfigError, match="a buffer needs reservoir=True"):
        build("agem", buffer=dict(type="ReservoirSamplingBuffer", max_size=3))


@pytest.mark.parametrize("name", ["ExperienceBalancedBuffer", "ClassBalancedBuffer", "ParametricBuffer"])
def test_avalanches_buffers_hold_no_more_than_their_size(name: str, build: Callable[..., Built]) -> None:
    built = build("reservoir", buffer=dict(type=name, max_size=10))
    for bucket in built.buckets:
        built.strategy.train(bucket)
    assert len(built.plugin("GDumbPlugin").storage_policy.buffer) == 10


def early_stopping(stream: str) -> dict[str, Any]:
    return dict(type="Naive", plugins=[dict(type="EarlyStoppingPlugin", patience=1, val_stream_name=stream)])


def rar(**arguments: Any) -> dict[str, Any]:
    return dict(type="Naive", plugins=[dict(type="RARPlugin", batch_size_mem=8, **arguments)])


def nowhere(stream: str, last: int, labels: str) -> str:
    return f"found {stream!r}, but buckets are numbered 0 to {last} and {labels}"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (dict(type="LwF", alpha=[0, 1, 2]), {}),
        (dict(type="LwF", alpha=1.0), {}),
        (dict(type="LwF", alpha=[0, 1]), {"alpha": "2 values for 3 buckets: give one for each, from the first"}),
        (
            dict(type="Naive", plugins=[dict(type="LwFPlugin", alpha=[1])]),
            {"plugins.0.alpha": "1 values for 3 buckets: give one for each, from the first"},
        ),
        (dict(type="AGEM", sample_size=3), {}),
        (dict(type="AGEM", sample_size=2), {"sample_size": "2 samples of 3 buckets: it takes the same number of each"}),
        (dict(type="AGEM", sample_size=2, reservoir=True), {}),
        (
            dict(type="Naive", plugins=[dict(type="AGEMPlugin", sample_size=2)]),
            {"plugins.0.sample_size": "2 samples of 3 buckets: it takes the same number of each"},
        ),
        (dict(type="DER", mem_size=200, train_mb_size=200), {}),
        (
            dict(type="FeatureReplay", mem_size=9),
            {"mem_size": "9 is less than a batch of 10 from the memory, so it would never replay"},
        ),
        (
            dict(type="DER", train_mb_size=256),
            {"mem_size": "200 is less than a batch of 256 from the memory, so it would never replay"},
        ),
        (dict(type="ER_ACE"), {}),
        (early_stopping("test_stream"), {}),
        (early_stopping("test_stream/Task000/Exp002"), {}),
        (
            early_stopping("test_stream/Task000/Exp003"),
            {"plugins.0.val_stream_name": nowhere("test_stream/Task000/Exp003", 2, "the task label is 0")},
        ),
        (
            early_stopping("test_stream/Task001"),
            {"plugins.0.val_stream_name": nowhere("test_stream/Task001", 2, "the task label is 0")},
        ),
    ],
)
def test_settings_that_do_not_suit_the_stream(section: dict[str, Any], expected: dict[str, str]) -> None:
    assert by_key(check_against_stream(strategy_settings(section), 3, "single")) == expected


def too_small(found: int, name: str, labels: int) -> str:
    why = f"with scenario.task_labels='bucket' a batch of {name} has samples of each of {labels} buckets"
    return f"found {found}, but {why}: give {labels} or more"


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        (dict(type="Cumulative", train_mb_size=4), {}),
        (dict(type="Cumulative", train_mb_size=3), {"train_mb_size": too_small(3, "Cumulative", 4)}),
        (dict(type="JointTraining"), {"train_mb_size": too_small(1, "JointTraining", 4)}),
        (dict(type="ICaRL", memory_size=9, train_mb_size=2), {"train_mb_size": too_small(2, "ICaRL", 4)}),
        (dict(type="GDumb", mem_size=9, train_mb_size=2), {"train_mb_size": too_small(2, "GDumb", 4)}),
        (dict(type="GDumb", mem_size=2, train_mb_size=2), {}),
        (dict(type="GDumb", buffer=dict(type="ReservoirSamplingBuffer", max_size=3), train_mb_size=3), {}),
        (
            dict(type="GDumb", buffer=dict(type="ReservoirSamplingBuffer", max_size=3), train_mb_size=2),
            {"train_mb_size": too_small(2, "GDumb", 3)},
        ),
        (
            dict(type="Naive", train_mb_size=2, plugins=[dict(type="GDumbPlugin", mem_size=9)]),
            {"train_mb_size": too_small(2, "GDumbPlugin", 4)},
        ),
        (dict(type="Naive"), {}),
        (dict(type="Replay"), {}),
        (
            dict(type="Replay", task_balanced_dataloader=True, train_mb_size=2),
            {"train_mb_size": too_small(2, "Replay", 3)},  # the last bucket is never replayed
        ),
        (dict(type="Replay", task_balanced_dataloader=True, train_mb_size=2, batch_size_mem=3), {}),
        (
            dict(
                type="Naive",
                train_mb_size=8,
                plugins=[dict(type="ReplayPlugin", task_balanced_dataloader=True, batch_size_mem=2)],
            ),
            {"plugins.0.batch_size_mem": too_small(2, "ReplayPlugin", 3)},
        ),
    ],
)
def test_batches_that_are_balanced_over_labels_have_room_for_each(
    section: dict[str, Any], expected: dict[str, str]
) -> None:
    assert by_key(check_against_stream(strategy_settings(section), 4, "bucket")) == expected
    assert check_against_stream(strategy_settings(section), 4, "single") == []


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        ("test_stream/Task003", None),
        ("test_stream/Task003/Exp003", None),
        ("test_stream/Task003/Exp002", "found 'test_stream/Task003/Exp002', but bucket 2 has the task label 2"),
        ("test_stream/Task004", nowhere("test_stream/Task004", 3, "task labels are 0 to 3")),
    ],
)
def test_early_stopping_watches_a_label_that_there_is(stream: str, text: str | None) -> None:
    expected = {} if text is None else {"plugins.0.val_stream_name": text}
    assert by_key(check_against_stream(strategy_settings(early_stopping(stream)), 4, "bucket")) == expected


@pytest.mark.parametrize(
    ("strategy", "key", "text"),
    [
        (dict(type="CWRStar", cwr_layer_name="head.fc"), "", ""),
        (dict(type="CWRStar"), "", ""),
        (
            dict(type="CWRStar", cwr_layer_name="head.cf"),
            "cwr_layer_name",
            "the network has no layer with a weight matrix 'head.cf'; did you mean 'head.fc'?",
        ),
        (dict(type="CWRStar", cwr_layer_name="head"), "cwr_layer_name", "the network has no layer with a weight"),
        (rar(name_ext_layer="head.fc"), "", ""),
        (
            rar(name_ext_layer="head"),
            "plugins.0.name_ext_layer",
            "the layer 'head' gives no numbers for each sample",
        ),
        (rar(name_ext_layer="flatten", use_adversarial_replay=False), "", ""),
        (rar(name_ext_layer=None), "", ""),
        (
            rar(name_ext_layer="flatten"),
            "plugins.0.name_ext_layer",
            "the network has no layer 'flatten': the last is 'head.fc'",
        ),
    ],
)
def test_a_layer_that_is_named_is_there(
    strategy: dict[str, Any], key: str, text: str, write_config: Callable[..., Path]
) -> None:
    config = write_config("naive", **strategy)
    if not key:
        dry_run(config, device="cpu")
        return
    with pytest.raises(ConfigError, match=re.escape(f"{config}: cl_strategy.{key}: {text}")):
        train(config, device="cpu")
    assert [path.name for path in config.parent.iterdir()] == [config.name]  # no work_dir


def test_alpha_list_shorter_than_the_stream_is_found_before_the_run(write_config: Callable[..., Path]) -> None:
    config = write_config("lwf", alpha=[0.0, 1.0])
    with pytest.raises(ConfigError, match=r"^.*lwf\.py: cl_strategy\.alpha: 2 values for 3 buckets"):
        train(config, device="cpu")
    assert [path.name for path in config.parent.iterdir()] == [config.name]  # no work_dir
