"""Each strategy, trained over three small buckets of features, does what it alone does."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.training.plugins import SupervisedPlugin
from blobs import CLASSES, DIM, MODEL, PER_BUCKET, PER_CLASS, Built, bucket_of, flat, samples
from small import OTHERS, SMALL, TYPES, strategy_of

from clearctl import evaluate, train
from clearctl.config.fill import fill
from clearctl.engine.build.config import open_config
from clearctl.engine.build.experiment import build_experiment
from clearctl.engine.build.model import build_model
from clearctl.engine.build.stream import build_stream
from clearctl.progress import ignore
from clearctl.strategies.build import trains_on_whole_stream
from clearctl.strategies.methods.agem import AGEMPlugin
from clearctl.strategies.methods.from_scratch import FromScratchTrainingPlugin
from clearctl.strategies.methods.head import last_layer
from clearctl.strategies.registry import STRATEGIES

pytest_plugins = ("blobs",)


class Watch(SupervisedPlugin):
    """Writes down, for each bucket: which buckets its samples were of, the head it started with, and loss − criterion.

    It stands before the strategy's own plugin.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Counter[int]] = []
        self.started_with: list[torch.Tensor] = []
        self.extra: list[list[float]] = []
        self.gradients: list[list[torch.Tensor]] = []

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.clock.train_exp_epochs == 0:
            self.seen.append(Counter())
            self.extra.append([])
            self.gradients.append([])
            self.started_with.append(flat(strategy.model))

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        if strategy.clock.train_exp_epochs == 0:
            self.seen[-1].update(bucket_of(strategy.mb_x).tolist())

    def after_backward(self, strategy: Any, **kwargs: Any) -> None:
        self.extra[-1].append(float(strategy.loss) - float(strategy._criterion(strategy.mb_output, strategy.mb_y)))

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        grads = [parameter.grad for parameter in strategy.model.parameters() if parameter.grad is not None]
        self.gradients[-1].append(torch.cat([grad.flatten().clone() for grad in grads]) if grads else torch.zeros(0))


@pytest.fixture
def learn(build: Callable[..., Built]) -> Callable[..., tuple[Built, Watch]]:
    """`learn(base, buckets=3, **cl_strategy)`: the experiment, trained with a watch."""

    def run(base: str, buckets: int = 3, **strategy: Any) -> tuple[Built, Watch]:
        watch = Watch()
        built = build(base, watching=(watch,), **{**SMALL[base], **strategy})
        for bucket in built.buckets[:buckets]:
            built.strategy.train(bucket)
        return built, watch

    return run


def largest(values: list[float]) -> float:
    return max(abs(value) for value in values)


def test_every_base_config_of_a_strategy_is_tried() -> None:
    """Whoever adds a file to configs/_base_ adds a row to SMALL, which all tests of every strategy are made of."""
    assert set(SMALL) == set(TYPES)


def test_every_strategy_that_a_config_may_name_is_tried() -> None:
    tried = {*(TYPES[base] for base in SMALL), *(given.get("type", name) for name, given in OTHERS.items())}
    assert tried == set(STRATEGIES.classes)


@pytest.mark.parametrize("base", SMALL)
def test_base_config_trains_and_its_checkpoints_give_the_same_matrix(
    base: str, write_config: Callable[..., Path]
) -> None:
    result = train(write_config(base, **SMALL[base]), device="cpu")
    assert result.matrix.shape == (3, 3)
    assert result.matrix[2].mean() > 0.8  # the classes are far apart
    assert np.array_equal(evaluate(result.run, device="cpu").matrix, result.matrix)


# What is learned from


def test_naive_learns_from_the_bucket_alone(learn: Callable[..., tuple[Built, Watch]]) -> None:
    _, watch = learn("naive")
    assert watch.seen == [{0: PER_BUCKET}, {1: PER_BUCKET}, {2: PER_BUCKET}]
    assert all(largest(extra) < 1e-6 for extra in watch.extra)


def test_cumulative_learns_from_all_buckets_so_far(learn: Callable[..., tuple[Built, Watch]]) -> None:
    _, watch = learn("cumulative")
    assert watch.seen == [dict.fromkeys(range(k + 1), PER_BUCKET) for k in range(3)]


def test_joint_training_learns_the_whole_stream_at_once(
    build: Callable[..., Built], write_config: Callable[..., Path]
) -> None:
    watch = Watch()
    built = build("joint_training", watching=(watch,))
    assert trains_on_whole_stream(built.strategy)
    built.strategy.train(built.experiment.benchmark.train_stream)
    assert watch.seen == [dict.fromkeys(range(3), PER_BUCKET)]

    result = train(write_config("joint_training", train_epochs=1, optimizer={"lr": 0.01}), device="cpu")
    assert (result.matrix == result.matrix[0]).all()
    checkpoints = [torch.load(result.run / f"checkpoints/exp_{k}.pth", weights_only=True) for k in (1, 2, 3)]
    assert all(torch.equal(checkpoints[0]["head.fc.weight"], other["head.fc.weight"]) for other in checkpoints)


def test_from_scratch_starts_each_bucket_with_the_first_weights(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("from_scratch_training")
    first, second, third = watch.started_with
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert not torch.equal(first, built.head())
    assert watch.seen[2] == {2: PER_BUCKET}


def test_from_scratch_forgets_batch_norms_too() -> None:
    net = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))
    strategy = SimpleNamespace(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    first, plugin = flat(net), FromScratchTrainingPlugin()
    plugin.before_training(strategy)
    plugin.before_training_exp(strategy)
    net(torch.randn(4, 2) + 3).sum().backward()
    strategy.optimizer.step()
    assert not torch.equal(flat(net), first)
    plugin.before_training(strategy)
    plugin.before_training_exp(strategy)
    assert torch.equal(flat(net), first)


@pytest.mark.parametrize("name", OTHERS)
def test_what_has_no_base_config_trains_too(name: str, write_config: Callable[..., Path]) -> None:
    base, arguments = strategy_of(name)
    result = train(write_config(base, **{**arguments, "optimizer": {"lr": 0.5}}), device="cpu")
    assert result.matrix[2].mean() > 0.8
    assert np.array_equal(evaluate(result.run, device="cpu").matrix, result.matrix)


# Memories


def test_replay_joins_the_memory_to_each_batch(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("replay")
    assert watch.seen[0] == {0: PER_BUCKET}
    assert set(watch.seen[1]) == {0, 1}
    assert watch.seen[1][1] == PER_BUCKET
    assert set(watch.seen[2]) == {0, 1, 2}
    assert Counter(bucket_of(samples(built.plugin("ReplayPlugin").storage_policy.buffer)).tolist()) == {
        0: 4,
        1: 4,
        2: 4,
    }


def test_replay_takes_a_buffer(learn: Callable[..., tuple[Built, Watch]]) -> None:
    buffer = dict(max_size=12, alpha_mode="Dynamic", alpha_value=1.0)
    built, watch = learn("biased_replay", buffer=buffer)
    memory = built.plugin("ReplayPlugin").storage_policy
    assert type(memory).__name__ == "BiasedReservoirSamplingBuffer"
    assert Counter(bucket_of(samples(memory.buffer)).tolist()) == {2: 12}
    assert set(watch.seen[2]) == {1, 2}  # by then the memory was of bucket 1


def test_gdumb_learns_its_balanced_memory_from_the_first_weights(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("gdumb")
    assert [sum(seen.values()) for seen in watch.seen] == [12, 12, 12]
    assert torch.equal(watch.started_with[0], watch.started_with[2])
    targets = built.plugin("GDumbPlugin").storage_policy.buffer.targets
    assert Counter(int(target) for target in targets) == {0: 4, 1: 4, 2: 4}


def test_gdumb_without_reset_continues_from_where_it_was(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("reservoir", buckets=1)
    after_first = built.head()
    built.strategy.train(built.buckets[1])
    assert torch.equal(watch.started_with[1], after_first)
    assert sum(watch.seen[1].values()) == 12
    assert set(watch.seen[1]) == {0, 1}


def test_agem_never_goes_against_the_mean_gradient_of_its_memory(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("agem", buckets=1, optimizer={"lr": 0.02})
    plugin = built.plugin("AGEMPlugin")
    assert [len(buffer) for buffer in plugin.buffers] == [4]
    follow_references(built, watch, lambda: plugin.reference_gradients[None])
    assert [len(buffer) for buffer in plugin.buffers] == [4, 4]


def test_agem_with_a_reservoir_has_one_memory(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("agem_reservoir")
    plugin = built.plugin("AGEMPlugin")
    assert [len(buffer) for buffer in plugin.buffers] == [10]
    assert set(bucket_of(samples(plugin.buffers[0])).tolist()) == {0, 1, 2}
    x, y, task = plugin.sample_from_memory()
    assert (x.shape, len(y), task.tolist()) == ((6, DIM), 6, [0] * 6)
    buffer = dict(type="BiasedReservoirSamplingBuffer", max_size=7, alpha_mode="Dynamic", alpha_value=1.0)
    built, _ = learn("agem_reservoir", patterns_per_exp=None, buffer=buffer)
    assert bucket_of(samples(built.plugin("AGEMPlugin").buffers[0])).tolist() == [2] * 7


def test_gem_never_goes_against_the_gradient_of_an_earlier_bucket(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("gem", buckets=2, optimizer={"lr": 0.02})
    plugin = built.plugin("GEMPlugin")
    assert [len(plugin.memory_x[k]) for k in (0, 1)] == [5, 5]
    follow_references(built, watch, lambda: plugin.G)
    assert plugin.G.shape == (2, CLASSES * DIM + CLASSES)


def follow_references(built: Built, watch: Watch, references: Callable[[], torch.Tensor]) -> None:
    """Train on the next bucket; no step's gradient may go against a reference [K, P], as it would without projection.

    The bucket's labels are shifted by one, to make sure of that.
    """
    before, after = [], []

    class Shift(SupervisedPlugin):
        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            strategy.mbatch[1] = (strategy.mbatch[1] + 1) % CLASSES

        def after_backward(self, strategy: Any, **kwargs: Any) -> None:
            gradient = torch.cat([parameter.grad.flatten() for parameter in strategy.model.parameters()])
            before.extend((references() @ gradient).tolist())

        def after_update(self, strategy: Any, **kwargs: Any) -> None:
            after.extend((references() @ watch.gradients[-1][-1]).tolist())

    built.strategy.plugins.insert(0, Shift())
    built.strategy.train(built.buckets[built.strategy.clock.train_exp_counter])
    assert min(before) < -0.1
    assert min(after) > -0.01  # Avalanche adds 1e-3 to the diagonal of GEM's quadratic programme


def test_der_keeps_the_scores_its_samples_had(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("der", buckets=1)
    buffer = built.strategy.storage_policy.buffer
    kept = [(buffer[i][0], buffer[i][-1]) for i in range(len(buffer))]
    assert len(kept) == 12
    with torch.no_grad():
        scores = built.strategy.model.eval()(torch.stack([x for x, _ in kept]))
    assert torch.allclose(scores, torch.stack([logits for _, logits in kept]))
    built.strategy.train(built.buckets[1])
    assert set(watch.seen[1]) == {0, 1}


def test_er_ace_has_the_present_bucket_in_its_memory(learn: Callable[..., tuple[Built, Watch]]) -> None:
    replayed: list[torch.Tensor] = []

    class Replayed(SupervisedPlugin):
        def after_forward(self, strategy: Any, **kwargs: Any) -> None:
            replayed.append(strategy.mb_buffer_x)

    built, _ = learn("er_ace", buckets=1)
    built.strategy.plugins.insert(0, Replayed())
    built.strategy.train(built.buckets[1])
    assert {len(x) for x in replayed} == {4}
    assert set(bucket_of(torch.cat(replayed)).tolist()) == {0, 1}
    assert len(built.strategy.storage_policy.buffer) == 12


def test_bic_corrects_the_bias_on_samples_it_set_aside(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("bic", buckets=1)
    plugin = built.plugin("BiCPlugin")
    assert plugin.bias_layer is None
    assert sum(len(kept.buffer) for kept in plugin.val_buffer.values()) == 3
    assert watch.seen[0] == {0: PER_BUCKET - 3}
    built.strategy.train(built.buckets[1])
    assert plugin.bias_layer.clss.tolist() == [0, 1, 2]
    assert float(plugin.bias_layer.alpha) != 1
    assert not any(parameter.requires_grad for parameter in plugin.bias_layer.parameters())
    assert len(plugin.storage_policy.buffer) == 30
    assert set(watch.seen[1]) == {0, 1}


@pytest.mark.parametrize(("size", "projected"), [(1e-3, True), (1e-30, False), (0.0, False)])
def test_agem_projects_onto_a_reference_gradient_that_is_there(size: float, projected: bool) -> None:
    """In float32 the square of 1e-30 is 0."""
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[-1.0, 2.0]])
    plugin = AGEMPlugin(4)
    plugin.buffers = [object()]
    plugin.reference_gradients = torch.tensor([size, 0.0])
    plugin.after_backward(SimpleNamespace(model=model, device=torch.device("cpu")))
    assert model.weight.grad.tolist() == [[0.0 if projected else -1.0, 2.0]]


# Penalties


@pytest.mark.parametrize(
    ("base", "strength"),
    [("ewc", {}), ("ewc_online", {}), ("synaptic_intelligence", {"si_lambda": 1.0}), ("lwf", {}), ("mas", {})],
)
def test_penalty_from_the_second_bucket_on(
    base: str, strength: dict[str, float], learn: Callable[..., tuple[Built, Watch]]
) -> None:
    _, watch = learn(base, **strength)
    assert largest(watch.extra[0]) < 1e-5
    for extra in watch.extra[1:]:
        assert max(extra) > 1e-5
        assert min(extra) > -1e-5


def test_synaptic_intelligence_follows_the_weights_on_the_cpu(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("synaptic_intelligence", buckets=1)
    _, importances = built.plugin("SynapticIntelligencePlugin").ewc_data
    assert all(float(value.data.max()) > 0 for value in importances.values())


@pytest.mark.parametrize(("base", "kept"), [("ewc", [0, 1, 2]), ("ewc_online", [2])])
def test_ewc_keeps_weights_and_importances(
    base: str, kept: list[int], learn: Callable[..., tuple[Built, Watch]]
) -> None:
    built, _ = learn(base)
    plugin = built.plugin("EWCPlugin")
    assert [number for number, saved in plugin.saved_params.items() if saved] == kept
    saved = torch.cat([value.data.flatten() for value in plugin.saved_params[2].values()])
    assert torch.equal(saved, torch.cat([p.detach().flatten() for p in built.strategy.model.parameters()]))
    assert all(float(value.data.sum()) > 0 for value in plugin.importances[2].values())


def test_lwf_distils_the_model_of_the_bucket_before(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("lwf", buckets=2)
    lwf = built.plugin("LwFPlugin").lwf
    assert torch.equal(flat(lwf.prev_model), built.head())
    assert lwf.prev_model is not built.strategy.model
    built.strategy.train(built.buckets[2])
    assert torch.equal(flat(lwf.prev_model), built.head())


def test_lwf_takes_an_alpha_for_each_bucket(learn: Callable[..., tuple[Built, Watch]]) -> None:
    _, watch = learn("lwf", alpha=[0.0, 0.0, 1.0])
    assert largest(watch.extra[1]) < 1e-6
    assert max(watch.extra[2]) > 1e-5


def test_mas_importances_fade_by_alpha(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("mas", alpha=1.0, buckets=1)
    first = {name: value.data.clone() for name, value in built.plugin("MASPlugin").importance.items()}
    built.strategy.train(built.buckets[1])
    assert all(torch.equal(value.data, first[name]) for name, value in built.plugin("MASPlugin").importance.items())
    assert all(float(value.abs().sum()) > 0 for value in first.values())


# Parts of the model


def test_cwr_star_keeps_all_but_the_last_layer_fixed(learn: Callable[..., tuple[Built, Watch]]) -> None:
    model = dict(head=dict(type="StackedLinearClsHead", num_classes=CLASSES, in_channels=DIM, mid_channels=[6]))
    built, _ = learn("cwr_star", buckets=1, model=model)
    assert built.plugin("CWRStarPlugin").cwr_layer_name == last_layer(built.strategy.model)[0] == "head.layers.1.fc"
    before = {name: value.clone() for name, value in built.strategy.model.state_dict().items()}
    built.strategy.train(built.buckets[1])
    after = built.strategy.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.layers.1.fc.weight", "head.layers.1.fc.bias"}


def test_icarl_classifies_by_the_means_of_its_exemplars(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, watch = learn("icarl", buckets=2)
    plugin, model = built.plugin("ICaRLPlugin"), built.strategy.model
    assert sorted(plugin.exemplars) == [(b, c) for b in range(2) for c in range(CLASSES)]
    assert sorted(len(kept) for kept in plugin.exemplars.values()) == [2, 2, 2, 2, 3, 3]  # 14 places
    for target in range(CLASSES):
        x = torch.cat([samples(plugin.exemplars[bucket, target]) for bucket in range(2)])
        mean = torch.nn.functional.normalize(torch.nn.functional.normalize(x).mean(dim=0), dim=0)
        assert torch.allclose(model.class_means[target], mean, atol=1e-6)  # without a backbone x are the features
    x, y = built.data(1)
    nearest = torch.cdist(torch.nn.functional.normalize(x), model.class_means).argmin(dim=1)
    with torch.no_grad():
        assert torch.equal(model.eval()(x).argmax(dim=1), nearest)
    assert (nearest == y).all()
    assert watch.seen[1] == {0: 14, 1: PER_BUCKET}  # the exemplars of bucket 0, twice as many then, are replayed


def test_icarl_distils_only_classes_that_are_absent(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("icarl", buckets=2)
    loss = built.plugin("ICaRLLoss")
    assert (loss.seen, loss.distilled) == ({0, 1, 2}, [])
    loss.distilled, loss._old_scores = [1], torch.tensor([[9.0, 0.0, 9.0]])
    expected = torch.nn.functional.binary_cross_entropy(torch.full((1, 3), 0.5), torch.tensor([[1.0, 0.5, 0.0]]))
    assert torch.allclose(loss(torch.zeros(1, 3), torch.tensor([0])), expected)


def test_icarl_before_training_scores_with_the_head(build: Callable[..., Built]) -> None:
    built = build("icarl", **SMALL["icarl"])
    x, _ = built.data(0)
    model = built.strategy.model
    with torch.no_grad():
        assert torch.equal(model.eval()(x), model.train()(x))


# Without gradients


def class_means(built: Built, buckets: range) -> torch.Tensor:
    data = [built.data(bucket) for bucket in buckets]
    x, y = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])
    return torch.stack([x[y == target].mean(dim=0) for target in range(CLASSES)])


@pytest.mark.parametrize(("cumulate", "over"), [(False, range(1, 2)), (True, range(2))])
def test_prototype_writes_class_means_into_the_head(
    cumulate: bool, over: range, learn: Callable[..., tuple[Built, Watch]]
) -> None:
    built, _ = learn("prototype", buckets=2, cumulate=cumulate)
    fc, means = built.strategy.model.head.fc, class_means(built, over)
    assert torch.allclose(fc.weight, means, atol=1e-6)
    assert torch.allclose(fc.bias, -means.square().sum(dim=1) / 2, atol=1e-6)
    x, _ = built.data(2)
    nearest = torch.cdist(x, means).argmin(dim=1)
    with torch.no_grad():
        assert torch.equal(built.strategy.model(x).argmax(dim=1), nearest)


def test_prototype_normalises_the_means_of_a_cosine_head(learn: Callable[..., tuple[Built, Watch]]) -> None:
    model = dict(head=dict(type="CosineDistanceHead", num_classes=CLASSES, in_channels=DIM))
    built, _ = learn("prototype", buckets=1, model=model)
    expected = torch.nn.functional.normalize(class_means(built, range(1)))
    assert torch.allclose(built.strategy.model.head.fc.weight, expected, atol=1e-6)


def test_prototype_leaves_a_class_without_samples_alone(
    write_config: Callable[..., Path], features_root: Path, tmp_path: Path
) -> None:
    root = tmp_path / "four"
    shutil.copytree(features_root, root)
    (root / "class_names.txt").write_text("a\nb\nc\nd")
    file = write_config("prototype", model=dict(head=dict(MODEL["head"], num_classes=CLASSES + 1)))
    settings = fill(open_config(file, dataset_root=root))
    stream = build_stream(settings.scenario, settings.data)
    model = build_model(settings, stream, ignore)
    before = model.head.fc.weight.detach().clone()
    experiment = build_experiment(settings, stream, model, torch.device("cpu"), run=None)
    experiment.strategy.train(experiment.benchmark.train_stream[0])
    after = experiment.strategy.model.head.fc.weight
    assert torch.equal(after[CLASSES], before[CLASSES])
    assert not torch.equal(after[:CLASSES], before[:CLASSES])


def test_streaming_lda_writes_its_discriminant_into_the_head(learn: Callable[..., tuple[Built, Watch]]) -> None:
    built, _ = learn("streaming_lda", buckets=2)
    strategy = built.strategy
    assert torch.allclose(strategy.muK, class_means(built, range(2)), atol=1e-5)
    assert strategy.cK.tolist() == [2 * PER_CLASS] * CLASSES
    x, _ = built.data(2)
    with torch.no_grad():
        assert torch.allclose(strategy.model(x), strategy.predict(x), atol=1e-3)
