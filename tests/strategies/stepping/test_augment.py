"""Mixed batches in training: soft labels for the loss, hard ones for the metrics, and only where it makes sense."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from torch.nn import functional

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import ConfigError
from clearctl.strategies.stepping.augment import BatchAugment, SoftLabelLoss

pytest_plugins = ("blobs",)

HEAD = dict(type="LinearClsHead", num_classes=3, in_channels=8)


def model(*augments: dict[str, Any], **head: Any) -> dict[str, Any]:
    return dict(type="ImageClassifier", head={**HEAD, **head}, train_cfg=dict(augments=list(augments)))


MIXUP = dict(type="BatchMixup", alpha=1.0, num_classes=3, prob=1.0)


class Recorder(SupervisedPlugin):
    """What the strategy saw at each step of training, and which labels were left at evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[str, torch.Tensor]] = []
        self.soft_in_eval: list[Any] = []

    def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.x = strategy.mb_x

    def before_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.steps.append(
            dict(
                x=self.x,
                kept=self.x.clone(),
                mixed=strategy.mb_x,
                y=strategy.mb_y,
                soft=strategy._criterion.soft,
                loss=strategy.loss.detach(),
                scores=strategy.mb_output.detach(),
            )
        )

    def after_eval_forward(self, strategy: Any, **kwargs: Any) -> None:
        self.soft_in_eval.append(strategy._criterion.soft)


def test_the_loss_sees_soft_labels_and_the_metrics_hard_ones(build: Callable[..., Any]) -> None:
    recorder = Recorder()
    built = build("naive", model=model(MIXUP), watching=(recorder,))
    assert isinstance(built.strategy.plugins[1], BatchAugment)  # the first only watches
    built.strategy.train(built.buckets[0])
    assert len(recorder.steps) == 2 * 24 / 8
    for step in recorder.steps:
        assert not torch.equal(step["mixed"], step["x"])
        assert torch.equal(step["x"], step["kept"])  # the data itself is not written to
        assert step["y"].dtype == torch.int64
        assert torch.allclose(step["soft"].sum(1), torch.ones(8))
        by_hand = -(step["soft"] * step["scores"].log_softmax(1)).sum(1).mean()
        assert step["loss"].item() == pytest.approx(by_hand.item(), rel=1e-5)
    assert any((step["soft"].max(1).values < 0.99).any() for step in recorder.steps)
    built.strategy.eval(built.experiment.benchmark.test_stream)
    assert recorder.soft_in_eval
    assert all(soft is None for soft in recorder.soft_in_eval)


def test_the_same_seed_gives_the_same_weights_and_mixing_changes_them(build: Callable[..., Any]) -> None:
    heads = []
    for section in (model(MIXUP), model(MIXUP), dict(head=HEAD)):
        built = build("naive", model=section)
        built.strategy.train(built.buckets[0])
        heads.append(built.head())
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_a_mixed_stream_is_still_learned(build: Callable[..., Any]) -> None:
    built = build("replay", model=model(MIXUP), train_epochs=10, buffer=None, mem_size=12)
    for bucket in built.buckets:
        built.strategy.train(bucket)
    built.strategy.eval(built.experiment.benchmark.test_stream)
    assert min(built.experiment.accuracy.accuracies.values()) > 0.9


@pytest.mark.parametrize("base", ["lwf", "agem", "ewc", "gem", "cumulative"])
def test_strategies_with_a_loss_beside_the_batchs_train(base: str, build: Callable[..., Any]) -> None:
    built = build(base, model=model(MIXUP))
    for bucket in built.buckets[:2]:
        built.strategy.train(bucket)
    assert torch.isfinite(built.head()).all()


def test_other_targets_than_the_batchs_get_the_plain_loss() -> None:
    loss = SoftLabelLoss(functional.cross_entropy)
    scores, hard = torch.randn(2, 3), torch.tensor([0, 1])
    loss.hard, loss.soft = hard, torch.full((2, 3), 1 / 3)
    plain = functional.cross_entropy(scores, hard)
    assert torch.equal(loss(scores, hard.clone()), plain)
    assert not torch.equal(loss(scores, hard), plain)


@pytest.mark.parametrize("base", ["der", "er_ace", "prototype", "streaming_lda", "icarl", "ridge"])
def test_strategies_with_a_step_of_their_own_refuse(base: str, build: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"train_cfg.augments: \w+ cannot train on mixed samples"):
        build(base, model=model(MIXUP))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            model(dict(type="BatchCutMix", alpha=1.0, num_classes=3)),
            "BatchCutMix needs images: use BatchMixup for features",
        ),
        (
            model(dict(type="BatchMixup", alpha=0.0, num_classes=3)),
            "augments.0.alpha: found 0.0, expected a number above 0",
        ),
    ],
)
def test_what_cannot_be_built_is_reported(section: dict[str, Any], message: str, build: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        build("naive", model=section)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            model(dict(type="BatchMixup", alpha=1.0, num_classes=10)),
            "model.train_cfg.augments.0.num_classes: found 10, but model.head.num_classes is 3",
        ),
        (
            model(dict(type="BatchMix", alpha=1.0, num_classes=3)),
            "model.train_cfg.augments.0.type: no batch augmentation is called 'BatchMix'",
        ),
        (model(dict(type="BatchMixup", num_classes=3)), "BatchMixup needs the argument 'alpha'"),
        (dict(head=HEAD, train_cfg=dict(augment=[])), "model.train_cfg.augment: model.train_cfg has no such key"),
        (dict(head=HEAD, type="MultiClassifier"), "model.type: found 'MultiClassifier', expected 'ImageClassifier'"),
        (dict(head={**HEAD, "loss": dict(type="CrossEntropy")}), "model.head.loss.type: no loss is called"),
        (
            dict(head=HEAD, pretrained="https://x.org/a.pth"),
            "model.pretrained: found 'https://x.org/a.pth': weights are not downloaded; give the path",
        ),
        (
            dict(head={**HEAD, "init_cfg": dict(type="Pretrained", checkpoint="torchvision://resnet18")}),
            "model.head.init_cfg.checkpoint: found 'torchvision://resnet18': weights are not downloaded",
        ),
        (
            dict(head=dict(type="MultiLabelLinearClsHead", num_classes=3, in_channels=8)),
            "head 'MultiLabelLinearClsHead' cannot be used: it predicts several labels per image",
        ),
    ],
)
def test_faults_of_a_model_section_are_found_by_the_check(
    section: dict[str, Any], message: str, write_config: Callable[..., Any]
) -> None:
    found = [str(fault) for fault in check(load(write_config("naive", model=section)), CATALOGUE)]
    assert len(found) == 1
    assert re.search(re.escape(message), found[0]), found
