"""The model section of a config, from the file to a trained network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clearctl import train
from clearctl.config.fill import fill
from clearctl.distributed.randomness import seed_everything
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.errors import ConfigError
from clearctl.models.classifier import build_classifier, head_outputs
from clearctl.progress import Message

# As mmcls's own files have it, but for the sizes.
PASTED = """
_base_ = {base!r}
model = dict(
    _delete_=True,
    type='ImageClassifier',
    pretrained={pretrained!r},
    backbone=dict(type='ResNet_CIFAR', depth=18, base_channels=4, stem_channels=4, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=3,
        in_channels=32,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='classy_vision', loss_weight=1.0),
        topk=(1, 5),
        cal_acc=True,
    ),
    train_cfg=dict(
        augments=[
            dict(type='BatchMixup', alpha=0.2, num_classes=3, prob=0.4),
            dict(type='BatchCutMix', alpha=1., num_classes=3, prob=0.3),
            dict(type='BatchResizeMix', alpha=1., num_classes=3, prob=0.3),
        ]
    ),
)
cl_strategy = dict(loss=None, train_epochs=1)
"""


@pytest.fixture
def pasted(tiny_config: Path, tmp_path: Path) -> Callable[..., Path]:
    def write(pretrained: str | None = None) -> Path:
        file = tmp_path / "pasted.py"
        file.write_text(PASTED.format(base=[str(tiny_config)], pretrained=pretrained))
        return file

    return write


def built(file: Path, root: Path, *overrides: str, plugins: tuple[Any, ...] = ()) -> tuple[Any, list[Message]]:
    """(experiment, messages) of a config."""
    settings = fill(open_config(file, overrides=overrides, dataset_root=root))
    seed_everything(0)
    stream = build_stream(settings.scenario, settings.data)
    messages: list[Any] = []
    model = build_model(settings, stream, messages.append)
    return build_experiment(settings, stream, model, torch.device("cpu"), run=None, plugins=plugins), messages


def test_pasted_image_classifier_trains(pasted: Callable[..., Path], prepared: Path, tmp_path: Path) -> None:
    result = train(pasted(), device="cpu", work_dir=tmp_path / "runs", dataset_root=prepared)
    assert result.matrix.shape == (3, 3)
    again = train(result.run / "config.py", device="cpu", work_dir=tmp_path / "again", dataset_root=prepared)
    assert (again.matrix == result.matrix).all()


def test_pretrained_of_a_pasted_section_is_loaded(
    pasted: Callable[..., Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = built(pasted(), prepared)
    weights = {name: value + 1 for name, value in source.strategy.model.state_dict().items()}
    del weights["head.fc.bias"]
    torch.save(weights, tmp_path / "start.pth")
    monkeypatch.chdir(tmp_path)
    loaded, messages = built(pasted("start.pth"), prepared)
    model = loaded.strategy.model.state_dict()
    assert all(torch.equal(model[name], value) for name, value in weights.items())
    assert [message.text for message in messages] == [
        "model.pretrained has no matching head.fc.bias: these keep their initial weights"
    ]


def test_load_from_says_what_it_takes_of_a_raw_checkpoint(
    pasted: Callable[..., Path], prepared: Path, tmp_path: Path
) -> None:
    source, _ = built(pasted(), prepared)
    weights = {name: value + 1 for name, value in source.strategy.model.backbone.state_dict().items()}
    file = tmp_path / "moco.pth"
    torch.save({"state_dict": {f"module.encoder_q.{name}": value for name, value in weights.items()}}, file)
    loaded, messages = built(pasted(), prepared, f"load_from={str(file)!r}")
    backbone = loaded.strategy.model.backbone.state_dict()
    assert all(torch.equal(backbone[name], value) for name, value in weights.items())
    assert [(message.text, message.warning) for message in messages] == [
        (f"load_from: the weights under 'encoder_q.' of {file}", False),
        ("load_from has no matching head.fc.weight, head.fc.bias: these keep their initial weights", True),
    ]


@pytest.mark.parametrize(
    ("overrides", "kind"),
    [
        ((), "LabelSmoothLoss"),
        (("cl_strategy.loss={'type': 'FocalLoss'}",), "FocalLoss"),
        (("model.head.loss=None", "cl_strategy.loss={'type': 'CrossEntropyLoss'}"), "CrossEntropyLoss"),
    ],
)
def test_the_strategys_loss_wins_over_the_heads(
    overrides: tuple[str, ...], kind: str, pasted: Callable[..., Path], prepared: Path
) -> None:
    if "model.head.loss=None" in overrides:
        head = "{'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 32}"
        overrides = (f"model.head={head}", *overrides[1:])
    experiment, _ = built(pasted(), prepared, "model.train_cfg=None", *overrides)
    assert type(experiment.strategy._criterion.loss).__name__ == kind


def test_without_any_loss_it_is_torchs_cross_entropy(tiny_config: Path, prepared: Path) -> None:
    experiment, _ = built(tiny_config, prepared, "cl_strategy.loss=None")
    assert type(experiment.strategy._criterion) is torch.nn.CrossEntropyLoss


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.head.in_channels=64", "model.head.in_channels: found 64, but backbone and neck give 4 numbers"),
        ("model.neck=None", "model.neck: the head takes a vector for each sample"),
        (
            "scenario.eval_transform=[{'type': 'ToTensor'}, {'type': 'Normalize', 'mean': [0.5] * 2, 'std': [1.0]}]",
            "scenario.eval_transform",
        ),
        (
            "cl_strategy.loss={'type': 'SeesawLoss'}",
            "cl_strategy.loss: SeesawLoss rejects its arguments: The channel number of output",
        ),
        ("cl_strategy.loss={'type': 'CrossEntropyLoss', 'reduction': 'none'}", "reduction must be 'mean' or 'sum'"),
    ],
)
def test_what_does_not_fit_is_reported_before_training(
    override: str, message: str, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(tiny_config, device="cpu", work_dir=tmp_path / "runs", dataset_root=prepared, overrides=[override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "runs").glob("*"))


def test_features_of_another_width_are_reported(features_config: Path, prepared: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.head.in_channels: found 7, but the features have 5 numbers"):
        built(features_config, prepared, "model.head.in_channels=7")
    module = "model={'torchmodel': {'type': 'Linear', 'in_features': 7, 'out_features': 3}}"
    with pytest.raises(ConfigError, match=r"model.torchmodel.in_features: found 7, but a sample has the shape \[5\]"):
        built(features_config, prepared, module)


def test_more_classes_than_the_dataset_has_are_a_fault(features_config: Path, prepared: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--set: model.head.num_classes: found 1000, but the dataset has 3 classes"):
        built(features_config, prepared, "model.head.num_classes=1000")


def test_a_run_with_more_classes_than_the_dataset_has_can_still_be_tested(
    features_config: Path, prepared: Path
) -> None:
    config = open_config(features_config, overrides=("model.head.num_classes=4",), dataset_root=prepared)
    messages: list[Any] = []
    settings = fill(replace(config, of_run=True))
    model = build_model(settings, build_stream(settings.scenario, settings.data), messages.append)
    assert model.head.fc.weight.shape[0] == 4
    assert [(message.warning, message.text.partition(":")[0]) for message in messages] == [
        (True, "model.head.num_classes")
    ]


def test_looking_at_a_sample_draws_nothing(tiny_config: Path, prepared: Path) -> None:
    config = open_config(tiny_config, dataset_root=prepared)
    settings = fill(config)
    stream = build_stream(settings.scenario, settings.data)
    seed_everything(0)
    build_model(settings, stream, lambda event: None)
    after = torch.rand(3)
    seed_everything(0)
    build_classifier(**config.values["model"])
    assert torch.equal(torch.rand(3), after)


def test_a_strategy_learns_conformers_two_outputs_apart(tiny_config: Path, prepared: Path) -> None:
    from avalanche.training.plugins import SupervisedPlugin

    class Watch(SupervisedPlugin):
        def before_backward(self, strategy: Any, **kwargs: Any) -> None:
            cross_entropy = torch.nn.functional.cross_entropy
            parts = [cross_entropy(output, strategy.mb_y).item() for output in head_outputs(strategy.mb_output)]
            losses.append((strategy.loss.item(), parts))

    losses: list[tuple[float, list[float]]] = []
    arch = dict(embed_dims=12, channel_ratio=1, num_heads=2, depths=6)
    model = dict(
        backbone=dict(type="Conformer", arch=arch, base_channels=4, patch_size=16),
        head=dict(type="ConformerHead", num_classes=3, in_channels=[16, 12]),
    )
    overrides = (f"model={model!r}", "cl_strategy.loss=None", "cl_strategy.train_epochs=1")
    experiment, _ = built(tiny_config, prepared, *overrides, plugins=(Watch(),))
    experiment.strategy.train(experiment.benchmark.train_stream[0])
    assert losses
    for loss, parts in losses:
        assert len(parts) == 2
        assert loss == pytest.approx(sum(parts) / 2, rel=1e-5)
