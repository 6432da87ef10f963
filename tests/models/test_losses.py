"""mmcls's losses as criteria: by hand, on class indices and on soft labels."""

import math
from typing import Any

import pytest
import torch
from rehearsal.gpu import RehearsalGpu
from torch.nn import functional

from clearctl.models.classifier import build_classifier
from clearctl.models.losses import Criterion, build_criterion
from clearctl.models.registry import LOSSES

SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
TARGET = torch.tensor([0, 1])
ONE_HOT = functional.one_hot(TARGET, 3).float()
SOFT = torch.tensor([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5]])
NOT_LOG = SCORES.log_softmax(1)
P = SCORES.sigmoid()


def criterion(name: str, as_head: bool = False, **arguments: Any) -> Criterion:
    return Criterion(LOSSES[name](**arguments), as_head=as_head)


def cross_entropy(labels: torch.Tensor) -> float:
    return float(-(labels * NOT_LOG).sum(1).mean())


def focal(labels: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2017, gamma 2, alpha 0.25, for each sample and class."""
    right = P * labels + (1 - P) * (1 - labels)
    alpha = 0.25 * labels + 0.75 * (1 - labels)
    return -alpha * (1 - right) ** 2 * right.log()


def asymmetric(labels: torch.Tensor) -> torch.Tensor:
    """Ridnik et al. 2021, gamma 0 and 4, margin 0.05, for each sample and class."""
    shifted = (P - 0.05).clamp(min=0)
    return -(labels * P.log() + (1 - labels) * shifted**4 * (1 - shifted).log())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        dict(loss_weight=2.0),
        dict(reduction="sum"),
        dict(class_weight=[1.0, 3.0, 1.0]),
        dict(use_soft=True),
        dict(use_sigmoid=True),
        dict(use_sigmoid=True, pos_weight=[1.0, 2.0, 0.5]),
    ],
)
@pytest.mark.parametrize("as_head", [False, True])
def test_a_cross_entropy_is_mmclss_bit_by_bit(arguments: dict[str, Any], as_head: bool) -> None:
    loss = LOSSES["CrossEntropyLoss"](**arguments)
    ours = Criterion(loss, as_head=as_head)
    target = TARGET if ours.takes_indices else ONE_HOT
    averaged = {"avg_factor": 2} if ours.as_head else {}
    found = []
    for call in (lambda scores: ours(scores, TARGET), lambda scores: loss(scores, target, **averaged)):
        scores = SCORES.clone().requires_grad_()
        value = call(scores)
        value.backward()
        assert scores.grad is not None
        found.append(torch.cat([value.detach().flatten(), scores.grad.flatten()]).view(torch.int32).tolist())
    assert found[0] == found[1]


def test_a_cross_entropy_multiplies_by_no_1() -> None:
    launches = []
    for weight in (1.0, 2.0):
        with RehearsalGpu() as gpu:
            criterion("CrossEntropyLoss", loss_weight=weight)(SCORES.to("cuda"), TARGET.to("cuda"))
        launches.append(gpu.launches["mul"])
    assert launches == [0, 1]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("CrossEntropyLoss", {}, cross_entropy(ONE_HOT)),
        ("CrossEntropyLoss", dict(loss_weight=2.0), 2 * cross_entropy(ONE_HOT)),
        ("CrossEntropyLoss", dict(reduction="sum"), 2 * cross_entropy(ONE_HOT)),
        ("CrossEntropyLoss", dict(class_weight=[1.0, 3.0, 1.0]), float(-(NOT_LOG[0, 0] + 3 * NOT_LOG[1, 1]) / 2)),
        ("CrossEntropyLoss", dict(use_soft=True), cross_entropy(ONE_HOT)),
        (
            "CrossEntropyLoss",
            dict(use_sigmoid=True),
            float(-(ONE_HOT * P.log() + (1 - ONE_HOT) * (1 - P).log()).mean()),
        ),
        ("LabelSmoothLoss", dict(label_smooth_val=0.3), cross_entropy(0.7 * ONE_HOT + 0.1)),
        (
            "LabelSmoothLoss",
            dict(label_smooth_val=0.3, mode="classy_vision", num_classes=3),
            cross_entropy((ONE_HOT + 0.1) / 1.3),
        ),
        ("FocalLoss", {}, float(focal(ONE_HOT).mean())),
        ("AsymmetricLoss", {}, float(asymmetric(ONE_HOT).mean())),
        ("SeesawLoss", dict(num_classes=3, p=0.0, q=0.0), cross_entropy(ONE_HOT)),
    ],
)
def test_loss_on_class_indices_is_what_the_formula_says(name: str, arguments: dict[str, Any], expected: float) -> None:
    assert criterion(name, **arguments)(SCORES, TARGET).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("CrossEntropyLoss", {}, cross_entropy(SOFT)),
        ("CrossEntropyLoss", dict(use_soft=True), cross_entropy(SOFT)),
        ("LabelSmoothLoss", dict(label_smooth_val=0.3), cross_entropy(0.7 * SOFT + 0.1)),
        (
            "AsymmetricLoss",
            dict(gamma_neg=0.0, clip=0.0),
            float(-(P * SOFT + (1 - P) * (1 - SOFT)).log().mean()),  # mmcls mixes the probabilities, not their logs
        ),
    ],
)
def test_loss_on_soft_labels(name: str, arguments: dict[str, Any], expected: float) -> None:
    assert criterion(name, **arguments)(SCORES, SOFT).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["FocalLoss", "AsymmetricLoss"])
def test_one_hot_integers_are_class_indices_written_out(name: str) -> None:
    loss = criterion(name)
    assert torch.equal(loss(SCORES, functional.one_hot(TARGET, 3)), loss(SCORES, TARGET))


def test_mmcls_focal_and_asymmetric_loss_take_class_indices_by_themselves() -> None:
    for name in ("FocalLoss", "AsymmetricLoss"):
        assert torch.equal(LOSSES[name]()(SCORES, TARGET), criterion(name)(SCORES, TARGET))


def test_as_head_divides_by_the_samples_alone() -> None:
    for name, factor in (("FocalLoss", 3), ("AsymmetricLoss", 3), ("CrossEntropyLoss", 1)):
        plain, head = criterion(name)(SCORES, TARGET), criterion(name, as_head=True)(SCORES, TARGET)
        assert head.item() == pytest.approx(factor * plain.item())
    summed = criterion("CrossEntropyLoss", as_head=True, reduction="sum")(SCORES, TARGET)
    assert summed.item() == pytest.approx(2 * cross_entropy(ONE_HOT))


def test_plain_cross_entropy_is_mmcls_own_bit_for_bit() -> None:
    scores = torch.randn(64, 11, generator=torch.Generator().manual_seed(0))
    target = torch.arange(64) % 11
    assert torch.equal(criterion("CrossEntropyLoss")(scores, target), LOSSES["CrossEntropyLoss"]()(scores, target))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", dict(use_soft=True)),
        ("CrossEntropyLoss", dict(use_sigmoid=True)),
        ("LabelSmoothLoss", dict(label_smooth_val=0.1)),
        ("FocalLoss", {}),
        ("AsymmetricLoss", {}),
        ("SeesawLoss", dict(num_classes=3)),
    ],
)
def test_training_steps_lower_the_loss(name: str, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = build_classifier(head=dict(type="LinearClsHead", num_classes=3, in_channels=4))
    loss = criterion(name, **arguments)
    y = torch.arange(12) % 3
    x = functional.one_hot(y, 4).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    values = []
    for _ in range(10):
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < values[0]
    assert math.isfinite(values[-1])


def test_the_loss_is_the_given_one_or_else_the_heads() -> None:
    head = dict(type="LinearClsHead", num_classes=3, in_channels=4)
    model = build_classifier(head=dict(**head, loss=dict(type="LabelSmoothLoss", label_smooth_val=0.3)))
    given = build_criterion(model, LOSSES["FocalLoss"](), head_has_one=True)
    assert type(given.loss).__name__ == "FocalLoss"
    own = build_criterion(model, None, head_has_one=True)
    assert own(SCORES, TARGET).item() == pytest.approx(cross_entropy(0.7 * ONE_HOT + 0.1))
    assert build_criterion(build_classifier(head=head), None, head_has_one=False) is None


@pytest.mark.parametrize(
    ("name", "arguments", "soft", "message"),
    [
        ("CrossEntropyLoss", dict(reduction="none"), False, "reduction must be 'mean' or 'sum'"),
        ("CrossEntropyLoss", dict(class_weight=[1.0, 2.0]), False, "weight tensor should be defined .* for all 3"),
        ("LabelSmoothLoss", dict(label_smooth_val=0.1, num_classes=10), False, "num_classes: 10"),
        ("SeesawLoss", {}, False, r"does not match the `num_classes` of seesaw loss \(1000\)"),
        ("SeesawLoss", dict(num_classes=3), True, "does not accept soft labels, which model.train_cfg.augments makes"),
    ],
)
def test_a_loss_that_cannot_score_the_classes_says_so(
    name: str, arguments: dict[str, Any], soft: bool, message: str
) -> None:
    with pytest.raises((ValueError, AssertionError, RuntimeError), match=message):
        criterion(name, **arguments).try_on(3, soft=soft)


def test_trying_a_loss_leaves_it_as_it_was() -> None:
    loss = criterion("SeesawLoss", num_classes=3)
    loss.try_on(3, soft=False)
    assert not loss.loss.cum_samples.any()
