"""Plugins against the other sections of a config: each need with a config that fails it and one that meets it."""

from pathlib import Path
from typing import Any

import pytest

from clearctl.config.check import check
from clearctl.config.load import Config, load
from clearctl.config.plugins import plugin_notices, strategy_notes
from clearctl.config.registry import parameters
from clearctl.engine.build.catalogue import CATALOGUE

EARLY = dict(type="EarlyStoppingPlugin", patience=1, val_stream_name="test_stream")
ACCURACY = [dict(type="accuracy_metrics", stream=True)]
EVERYTHING = [
    dict(type="accuracy_metrics", epoch=True, experience=True, stream=True, trained_experience=True),
    dict(type="loss_metrics", stream=True),
    dict(type="topk_acc_metrics", top_k=2, stream=True),
    dict(type="confusion_matrix_metrics", stream=True),
]
WATCHED = dict(cl_strategy=dict(eval_every=1), metrics=ACCURACY)
RATE = dict(type="ReduceLROnPlateau")


def config(file: Path, plugins: list[dict[str, Any]] | None = None, **sections: Any) -> Config:
    """The config of `file` with `plugins`, and with what `sections` add to it."""
    loaded = load(file)
    loaded.values["cl_strategy"] |= {"plugins": plugins or []} | sections.pop("cl_strategy", {})
    if "optimizer" not in parameters(CATALOGUE.strategies[loaded.values["cl_strategy"]["type"]])[0]:
        del loaded.values["cl_strategy"]["optimizer"]
        del loaded.values["cl_strategy"]["train_epochs"]
    loaded.values.update(sections)
    return loaded


def found(file: Path, plugins: list[dict[str, Any]] | None = None, **sections: Any) -> dict[str, str]:
    """{key below cl_strategy: what is wrong with it}."""
    faults = check(config(file, plugins, **sections), CATALOGUE)
    return {fault.key.removeprefix("cl_strategy."): fault.message for fault in faults}


@pytest.mark.parametrize(
    ("plugin", "sections", "key", "message"),
    [
        ({}, dict(metrics=ACCURACY), "eval_every", "found -1, but EarlyStoppingPlugin watches a metric that only"),
        ({}, dict(cl_strategy=dict(eval_every=0), metrics=ACCURACY), "eval_every", "found 0, but EarlyStoppingPlugin"),
        (
            dict(patience=2),
            dict(cl_strategy=dict(eval_every=3), metrics=ACCURACY),
            "plugins.0.patience",
            "found 2, but the metric is updated every 3 epochs (eval_every): give 3 or more",
        ),
        (
            dict(patience=2, peval_mode="iteration"),
            dict(cl_strategy=dict(eval_every=3, peval_mode="iteration"), metrics=ACCURACY),
            "plugins.0.patience",
            "found 2, but the metric is updated every 3 steps",
        ),
        (dict(patience=0), WATCHED, "plugins.0.patience", "found 0, expected a whole number from 1"),
        (
            dict(peval_mode="iteration"),
            WATCHED,
            "plugins.0.peval_mode",
            "found 'iteration', expected 'epoch', as cl_strategy.peval_mode",
        ),
        (
            {},
            dict(cl_strategy=dict(eval_every=1), metrics=[]),
            "plugins.0.metric_name",
            "no metric of the tests is called 'Top1_Acc_Stream', expected one of: none",
        ),
        (
            {},
            dict(cl_strategy=dict(eval_every=1), metrics=[dict(type="accuracy_metrics", epoch=True, experience=True)]),
            "plugins.0.metric_name",
            "expected one of: Top1_Acc_Exp; add it to `metrics`, such as dict(type='accuracy_metrics', stream=True)",
        ),
        (
            dict(metric_name="ConfusionMatrix_Stream"),
            dict(cl_strategy=dict(eval_every=1), metrics=EVERYTHING),
            "plugins.0.metric_name",
            "no metric of the tests is called 'ConfusionMatrix_Stream'",
        ),
        (
            dict(val_stream_name="train_stream"),
            WATCHED,
            "plugins.0.val_stream_name",
            "found 'train_stream', expected 'test_stream'",
        ),
        (
            dict(val_stream_name="test_stream/Task000/Exp001"),
            WATCHED,
            "plugins.0.val_stream_name",
            "Top1_Acc_Stream is for the whole stream, not a bucket",
        ),
        (dict(margin=0), WATCHED, "plugins.0.margin", "found 0, expected a float such as 0.0"),
        (dict(mode="most"), WATCHED, "plugins.0.mode", "found 'most', expected 'max' or 'min'"),
        (
            dict(metric_name="Loss_Stream"),
            dict(cl_strategy=dict(eval_every=1), metrics=EVERYTHING),
            "plugins.0.mode",
            "found 'max', but lower Loss_Stream is better: give 'min'",
        ),
    ],
)
def test_early_stopping_watches_what_tests_in_training_renew(
    plugin: dict[str, Any], sections: dict[str, Any], key: str, message: str, features_config: Path
) -> None:
    faults = found(features_config, [EARLY | plugin], **sections)
    assert list(faults) == [key]
    assert message in faults[key]


@pytest.mark.parametrize(
    ("plugin", "sections"),
    [
        ({}, WATCHED),
        (dict(patience=2), dict(cl_strategy=dict(eval_every=2), metrics=ACCURACY)),
        (dict(peval_mode="iteration"), dict(cl_strategy=dict(eval_every=1, peval_mode="iteration"), metrics=ACCURACY)),
        (dict(metric_name="Loss_Stream", mode="min"), dict(cl_strategy=dict(eval_every=1), metrics=EVERYTHING)),
        (dict(metric_name="Topk_2_Acc_Stream"), dict(cl_strategy=dict(eval_every=1), metrics=EVERYTHING)),
        (
            dict(metric_name="Top1_Acc_Exp", val_stream_name="test_stream/Task000/Exp001", margin=0.1),
            dict(cl_strategy=dict(eval_every=1), metrics=EVERYTHING),
        ),
    ],
)
def test_early_stopping_that_is_right(plugin: dict[str, Any], sections: dict[str, Any], features_config: Path) -> None:
    assert found(features_config, [EARLY | plugin], **sections) == {}


@pytest.mark.parametrize("value", [-2, 1.5, True, "1"])
def test_the_times_of_tests_are_checked(value: object, features_config: Path) -> None:
    assert list(found(features_config, cl_strategy=dict(eval_every=value))) == ["eval_every"]


def test_what_eval_every_counts_is_checked(features_config: Path) -> None:
    assert list(found(features_config, cl_strategy=dict(peval_mode="experience"))) == ["peval_mode"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("AGEMPlugin", dict(patterns_per_experience=9)),
        ("BiCPlugin", {}),
        ("EWCPlugin", dict(ewc_lambda=1.0)),
        ("ExponentialMovingAverage", {}),
        ("GEMPlugin", dict(patterns_per_experience=9, memory_strength=0.5)),
        ("GradientClipping", dict(max_norm=1.0)),
        ("LwFPlugin", {}),
        ("MASPlugin", {}),
        ("RARPlugin", dict(batch_size_mem=8)),
        ("RWalkPlugin", {}),
        ("SynapticIntelligencePlugin", dict(si_lambda=1.0)),
        ("WarmUp", dict(steps=2)),
    ],
)
def test_what_acts_on_the_steps_of_an_optimizer_needs_one(
    name: str, arguments: dict[str, Any], features_config: Path
) -> None:
    plugins = [dict(type=name, **arguments)]
    assert found(features_config, plugins) == {}
    faults = found(features_config, plugins, cl_strategy=dict(type="Prototype"))
    assert faults == {"plugins.0": f"Prototype learns without an optimizer: leave {name} out"}


@pytest.mark.parametrize("name", ["FromScratchTrainingPlugin", "GDumbPlugin", "ReplayPlugin", "RestoreBestEpoch"])
def test_the_other_plugins_need_none(name: str, features_config: Path) -> None:
    assert found(features_config, [dict(type=name)], cl_strategy=dict(type="Prototype")) == {}


MER = dict(type="MER", mem_size=20, batch_size_mem=4)


def test_no_plugin_acts_on_the_inner_steps_of_mer(features_config: Path) -> None:
    faults = found(features_config, [dict(type="GradientClipping", max_norm=1.0)], cl_strategy=MER)
    text = "MER runs its own training steps, on whose loss and gradients no plugin acts: leave GradientClipping out"
    assert faults == {"plugins.0": text}
    assert found(features_config, [dict(type="ExponentialMovingAverage")], cl_strategy=MER) == {}


def test_importances_of_samples_need_a_loss_of_samples(features_config: Path) -> None:
    entry, seesaw = dict(type="EWCPlugin", ewc_lambda=1.0, importance="sample"), dict(type="SeesawLoss", num_classes=3)
    head = dict(type="LinearClsHead", num_classes=3, in_channels=5, loss=seesaw)
    assert list(found(features_config, [entry], cl_strategy=dict(loss=seesaw))) == ["plugins.0.importance"]
    assert list(found(features_config, [entry], model=dict(head=head))) == ["plugins.0.importance"]
    assert found(features_config, [entry | dict(importance="batch")], cl_strategy=dict(loss=seesaw)) == {}
    assert found(features_config, [entry], cl_strategy=dict(loss=dict(type="FocalLoss"))) == {}


@pytest.mark.parametrize("other", ["ExponentialMovingAverage", "RestoreBestEpoch"])
def test_early_stopping_decides_alone_which_weights_a_bucket_ends_with(other: str, features_config: Path) -> None:
    faults = found(features_config, [EARLY, dict(type=other)], **WATCHED)
    assert faults == {
        "plugins.1": f"EarlyStoppingPlugin and {other} each choose the weights at the end of a bucket: leave one out"
    }


def test_one_loader_with_a_memory_is_not_replaced_by_another(features_config: Path) -> None:
    replay, rar = dict(type="ReplayPlugin"), dict(type="RARPlugin", batch_size_mem=8)
    twice = found(features_config, [replay, rar])
    assert twice == {"plugins.1": "ReplayPlugin and RARPlugin each replace the training data loader: leave one out"}
    strategy = found(features_config, [replay], cl_strategy=dict(type="Replay"))
    assert strategy == {
        "plugins.0": "Replay and ReplayPlugin each replace the training data loader: leave ReplayPlugin out"
    }
    assert found(features_config, [replay, dict(type="GDumbPlugin")]) == {}
    assert found(features_config, [dict(type="LwFPlugin")], cl_strategy=dict(type="Replay")) == {}


@pytest.mark.parametrize(
    ("entry", "key", "instead"),
    [
        (dict(type="AGEMPlugin", reservoir=True), "buffer", "use the strategy AGEM with cl_strategy.buffer"),
        (dict(type="BiCPlugin"), "buffer", "use the strategy BiC with cl_strategy.buffer"),
        (dict(type="GDumbPlugin"), "buffer", "use the strategy GDumb with cl_strategy.buffer"),
        (dict(type="ReplayPlugin"), "storage_policy", "use the strategy Replay with cl_strategy.buffer"),
        (dict(type="RARPlugin", batch_size_mem=8), "storage_policy", "leave it out"),
    ],
)
def test_a_plugin_takes_no_buffer(entry: dict[str, Any], key: str, instead: str, features_config: Path) -> None:
    buffer = dict(type="ReservoirSamplingBuffer", max_size=20)
    faults = found(features_config, [entry | {key: buffer}])
    assert list(faults) == [f"plugins.0.{key}"]
    assert faults[f"plugins.0.{key}"].endswith(instead)
    assert found(features_config, [entry]) == {}


def test_online_importances_need_a_factor(features_config: Path) -> None:
    online = dict(type="EWCPlugin", ewc_lambda=1.0, mode="online")
    assert list(found(features_config, [online])) == ["plugins.0.decay_factor"]
    assert found(features_config, [online | dict(decay_factor=0.5)]) == {}
    strategy = dict(type="EWC", ewc_lambda=1.0, mode="online")
    assert list(found(features_config, cl_strategy=strategy)) == ["decay_factor"]
    assert list(found(features_config, cl_strategy=strategy | dict(mode="both"))) == ["mode"]
    assert found(features_config, cl_strategy=strategy | dict(decay_factor=0.5)) == {}


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        (dict(type="RWalkPlugin", delta_t=0), "delta_t"),
        (dict(type="WarmUp", steps=0), "steps"),
        (dict(type="ReplayPlugin", mem_size=0), "mem_size"),
        (dict(type="GDumbPlugin", mem_size=0), "mem_size"),
        (dict(type="RARPlugin", batch_size_mem=0), "batch_size_mem"),
        (dict(type="AGEMPlugin", patterns_per_experience=0), "patterns_per_experience"),
        (dict(type="GEMPlugin", patterns_per_experience=0, memory_strength=0.5), "patterns_per_experience"),
        (dict(type="RestoreBestEpoch", metric="test_accuracy"), "metric"),
    ],
)
def test_values_that_no_plugin_can_work_with(entry: dict[str, Any], key: str, features_config: Path) -> None:
    assert list(found(features_config, [entry])) == [f"plugins.0.{key}"]


def test_reduce_on_plateau_is_given_a_loss(features_config: Path) -> None:
    def scheduled(scheduler: dict[str, Any]) -> list[str]:
        return list(found(features_config, cl_strategy=dict(scheduler=scheduler)))

    assert scheduled(RATE) == scheduled(RATE | dict(mode="min")) == []
    assert scheduled(RATE | dict(mode="max")) == ["scheduler.mode"]
    inner = dict(type="SequentialLR", schedulers=[dict(type="StepLR", step_size=1), RATE], milestones=[2])
    assert scheduled(inner) == ["scheduler.schedulers.1"]


def test_the_config_of_a_run_has_been_used_already(features_config: Path) -> None:
    from dataclasses import replace

    loaded = config(features_config, [EARLY, dict(type="RestoreBestEpoch")])
    assert check(loaded, CATALOGUE) != []
    assert check(replace(loaded, of_run=True), CATALOGUE) == []


def notices(file: Path, plugins: list[dict[str, Any]] | None = None, **sections: Any) -> list[str]:
    return list(plugin_notices(config(file, plugins, **sections).values))


def test_early_stopping_says_that_it_looks_at_test_data(features_config: Path) -> None:
    (seen,) = notices(features_config, [EARLY], **WATCHED)
    assert "chooses the epoch by test data, including those of later buckets" in seen
    _, never = notices(features_config, [EARLY | dict(patience=2)], **WATCHED)
    assert never == "cl_strategy.plugins.0: EarlyStoppingPlugin never stops: patience=2 is not below train_epochs=2"
    assert notices(features_config, [dict(type="RestoreBestEpoch")]) == []


@pytest.mark.parametrize(("epochs", "lowers"), [(5, True), (4, False)])
def test_reduce_on_plateau_says_that_a_bucket_is_too_short(epochs: int, lowers: bool, features_config: Path) -> None:
    """Against torch's own: with patience 2 the fifth epoch is the first with the lower rate."""
    import torch

    scheduler = RATE | dict(patience=2)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        theirs.step(1.0)
    assert (rates[-1] < 0.1) == lowers
    reported = notices(features_config, cl_strategy=dict(scheduler=scheduler, train_epochs=epochs))
    assert ["never lowers" in text for text in reported] == ([] if lowers else [True])
    assert notices(features_config, cl_strategy=dict(scheduler=scheduler | dict(reset=False), train_epochs=2)) == []


def test_rar_says_which_batches_it_learns(features_config: Path) -> None:
    (reported,) = notices(features_config, [dict(type="RARPlugin", batch_size_mem=5)])
    assert "also takes batch_size_mem=5 samples of a bucket per step" in reported
    assert notices(features_config, [dict(type="RARPlugin", batch_size_mem=8)]) == []


@pytest.mark.parametrize(
    ("plugins", "strategy", "key"),
    [
        ([], dict(type="EWC", ewc_lambda=1.0), "cl_strategy.ewc_lambda"),
        ([], dict(type="MAS", lambda_reg=1.0), "cl_strategy.lambda_reg"),
        ([dict(type="EWCPlugin", ewc_lambda=1.0)], {}, "cl_strategy.plugins.0.ewc_lambda"),
        ([dict(type="MASPlugin")], {}, "cl_strategy.plugins.0.lambda_reg"),
    ],
)
def test_importances_of_batches_have_a_note(
    plugins: list[dict[str, Any]], strategy: dict[str, Any], key: str, features_config: Path
) -> None:
    (note,) = strategy_notes(config(features_config, plugins, cl_strategy=strategy).values)
    assert note.startswith(f"{key}: importances are ")
    assert "batch means" in note
    assert "train_mb_size" in note


def test_importances_of_samples_have_none(features_config: Path) -> None:
    entry = dict(type="EWCPlugin", ewc_lambda=1.0, importance="sample")
    assert list(strategy_notes(config(features_config, [entry]).values)) == []
    assert list(strategy_notes(config(features_config).values)) == []
