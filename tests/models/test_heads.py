"""The heads of clearctl's own."""

import copy

import pytest
import torch
from torch.nn import functional

from clearctl.models.classifier import build_classifier


def head(**arguments: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_classifier(head=dict(type="CosineDistanceHead", num_classes=3, in_channels=4, **arguments))


def test_scores_are_the_temperature_times_the_cosine() -> None:
    model = head(temperature=8.0)
    with torch.no_grad():
        model.head.fc.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0], [3.0, 3.0, 0, 0]]))
    x = torch.tensor([[5.0, 0, 0, 0], [0, -1.0, 0, 0]])
    half = 8 / 2**0.5
    assert torch.allclose(model(x), torch.tensor([[8.0, 0, half], [0, -8.0, -half]]), atol=1e-6)


def test_class_weights_are_one_matrix_and_there_is_no_bias() -> None:
    model = head()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == {"head.fc.weight": (3, 4)}
    assert model.head.fc.bias is None


def test_lengths_do_not_count() -> None:
    model, x = head(), torch.randn(5, 4)
    before = model(x)
    assert torch.allclose(model(7 * x), before, atol=1e-5)
    with torch.no_grad():
        model.head.fc.weight.mul_(3)
    assert torch.allclose(model(x), before, atol=1e-5)


def test_zero_features_score_zero_and_have_a_finite_gradient() -> None:
    model = head()
    scores = model(torch.zeros(2, 4))
    assert not scores.any()
    functional.cross_entropy(scores, torch.tensor([0, 1])).backward()
    assert torch.isfinite(model.head.fc.weight.grad).all()


def test_last_stage_probabilities_and_copies() -> None:
    model, x = head().head, torch.randn(2, 4)
    stages = (torch.randn(2, 4), x)
    assert torch.equal(model.simple_test(stages, softmax=False, post_process=False), model.fc(x))
    assert torch.allclose(model.simple_test(x, post_process=False), model.fc(x).softmax(1))
    loss = model.forward_train(stages, torch.tensor([0, 1]))["loss"]
    assert loss.item() == pytest.approx(functional.cross_entropy(model.fc(x), torch.tensor([0, 1])).item())
    assert torch.equal(copy.deepcopy(model).fc(x), model.fc(x))


@pytest.mark.parametrize("arguments", [dict(num_classes=0), dict(in_channels=0), dict(temperature=0)])
def test_senseless_numbers_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        build_classifier(head={"type": "CosineDistanceHead", "num_classes": 3, "in_channels": 4, **arguments})


OWN = {
    "RandomProjectionHead": dict(projection_dim=6),
    "RandomFourierHead": dict(projection_dim=6, gamma=0.5),
    "FeCAMHead": dict(tukey=1.0),
}


def own(kind: str, **arguments: object) -> torch.nn.Module:
    return build_classifier(head=dict(dict(type=kind, num_classes=3, in_channels=4), **{**OWN[kind], **arguments}))


@pytest.mark.parametrize("kind", OWN)
def test_all_that_a_head_scores_with_is_in_its_state(kind: str) -> None:
    torch.manual_seed(0)
    one, x = own(kind).eval(), torch.randn(5, 4)
    for value in one.state_dict().values():
        value.copy_(torch.rand(value.shape) + 0.5)
    torch.manual_seed(1)
    other = own(kind).eval()
    other.load_state_dict(one.state_dict())
    with torch.no_grad():
        assert torch.equal(other((torch.zeros(5, 4), x)), one(x))  # of several stages the last


def test_projections_are_drawn_when_the_network_is_built_and_are_not_trained() -> None:
    torch.manual_seed(0)
    first, second = own("RandomProjectionHead"), own("RandomProjectionHead")
    torch.manual_seed(0)
    assert torch.equal(own("RandomProjectionHead").head.projection, first.head.projection)
    assert not torch.equal(second.head.projection, first.head.projection)
    assert {name for name, _ in first.named_parameters()} == {"head.fc.weight", "head.fc.bias"}


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("RandomProjectionHead", dict(projection_dim=0)),
        ("RandomFourierHead", dict(projection_dim=0)),
        ("RandomFourierHead", dict(gamma=0.0)),
        ("FeCAMHead", dict(tukey=0.0)),
        ("FeCAMHead", dict(num_classes=0)),
    ],
)
def test_senseless_numbers_of_them_are_refused(kind: str, arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        own(kind, **arguments)


def test_before_it_is_filled_every_class_is_as_far() -> None:
    assert len(set(own("FeCAMHead")(torch.rand(2, 4)).flatten().tolist())) == 1
