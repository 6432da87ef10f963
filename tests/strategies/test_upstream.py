"""What clearctl changes of the libraries is still needed: by themselves they do what `strategies.patches` says.

A test that fails here says that a row, and the code that it names, may go.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import wandb
from avalanche.benchmarks.utils import AvalancheDataset
from avalanche.benchmarks.utils.data_loader import SingleDatasetDataLoader
from avalanche.benchmarks.utils.flat_data import FlatData
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.logging import CSVLogger, TextLogger, WandBLogger
from avalanche.training import LearningWithoutForgetting, plugins, supervised
from avalanche.training.plugins import SupervisedPlugin
from avalanche.training.supervised.icarl import _ICaRLPlugin
from avalanche.training.supervised.mer import MERBuffer
from avalanche.training.templates import BaseSGDTemplate
from avalanche.training.utils import cycle
from blobs import DIM, Built
from rehearsal.gpu import RehearsalGpu
from test_gather import datasets
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import ConstantLR, MultiStepLR, SequentialLR, StepLR
from torch.utils.tensorboard import SummaryWriter

from clearctl.data.samples import FeatureSamples
from clearctl.strategies.patches import applied

pytest_plugins = ("blobs",)


@pytest.fixture
def process_group() -> Iterator[None]:
    """A group of this process alone, as a run that several processes share has one of them."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def learner(*layers: nn.Module) -> Any:
    """What a plugin asks of a strategy: a model, with gradients of 1, and an optimizer."""
    model = nn.Sequential(*layers)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    return SimpleNamespace(model=model, optimizer=SGD(model.parameters(), lr=0.1), device=torch.device("cpu"))


def in_the_second_bucket() -> Any:
    strategy = learner(nn.Linear(1, 1))
    strategy.device, strategy.loss = torch.device("cuda"), torch.ones(1, device="cuda")
    strategy.clock = SimpleNamespace(train_exp_counter=1)
    return strategy


def test_avalanches_datasets_fetch_sample_by_sample() -> None:
    assert not hasattr(AvalancheDataset, "__getitems__")


def test_avalanches_mer_reads_each_sample_of_its_memory_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    [dataset] = datasets([6])
    read: list[int] = []
    fetch = FeatureSamples.__getitem__
    monkeypatch.setattr(FeatureSamples, "__getitem__", lambda self, i: (read.append(int(i)), fetch(self, i))[1])
    memory = MERBuffer(mem_size=4, batch_size_mem=2)
    memory.storage_policy.update_from_dataset(dataset)
    given = torch.zeros(1, DIM), torch.tensor([2]), torch.tensor([0])
    torch.manual_seed(1)
    theirs = memory.get_batch(*given)
    assert read == 3 * read[:2]
    state = torch.get_rng_state()
    read.clear()
    torch.manual_seed(1)
    with applied():
        ours = memory.get_batch(*given)
    assert read == []
    assert all(torch.equal(a, b) and a.dtype is b.dtype for a, b in zip(ours, theirs, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_avalanches_attributes_ask_for_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    [dataset] = datasets([6])
    expected = list(dataset.targets)
    asked: list[object] = []
    of_one = FlatData.__getitem__
    monkeypatch.setattr(FlatData, "__getitem__", lambda data, item: asked.append(item) or of_one(data, item))
    assert list(dataset.targets) == expected
    assert set(asked) == {0, 1, 2, 3, 4, 5}
    asked.clear()
    with applied():
        assert list(dataset.targets) == expected
        assert list(dataset.targets_task_labels) == [0] * 6
        assert asked == []
        assert list(dataset.targets.subset([4, 1])) == [expected[4], expected[1]]


@pytest.mark.usefixtures("process_group")
def test_avalanches_loaders_divide_the_samples_among_processes() -> None:
    [dataset] = datasets([6])
    assert SingleDatasetDataLoader(dataset, batch_size=2).distributed_sampling
    with applied():
        assert not SingleDatasetDataLoader(dataset, batch_size=2).distributed_sampling


def test_avalanche_asks_every_plugin_at_every_event(
    build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    silent = SupervisedPlugin()
    monkeypatch.setattr(SupervisedPlugin, "before_forward", lambda self, strategy, **kwargs: asked.append(self))
    monkeypatch.setattr("clearctl.strategies.build.skip_idle_callbacks", lambda strategy: None)
    built = build("naive", watching=(silent,), train_epochs=1)
    built.strategy.train(built.buckets[0], eval_streams=[])
    assert asked.count(silent) == 3  # batches


def test_a_test_of_avalanches_draws_random_numbers() -> None:
    [dataset] = datasets([6])
    before = torch.get_rng_state()
    list(SingleDatasetDataLoader(dataset, batch_size=2, shuffle=False))
    assert not torch.equal(torch.get_rng_state(), before)


def test_torchs_schedulers_warn_of_an_optimizer_without_steps() -> None:
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        StepLR(learner(nn.Linear(1, 1)).optimizer, 1).step()
    told = learner(nn.Linear(1, 1)).optimizer
    scheduler = StepLR(told, 1)
    told._opt_called = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()


def test_tensorboard_begins_a_file_for_each_writer(tmp_path: Path) -> None:
    for suffix in ("a", "b"):
        SummaryWriter(str(tmp_path), filename_suffix=suffix).close()
    assert len(list(tmp_path.iterdir())) == 2


def test_avalanche_names_what_wandb_has_no_longer() -> None:
    assert "wandb.viz.CustomChart" in inspect.getsource(WandBLogger)
    assert not hasattr(wandb, "viz")


@pytest.mark.usefixtures("process_group")
def test_torchs_synchronised_batch_norm_refuses_a_cpu() -> None:
    with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on"):
        nn.SyncBatchNorm(2)(torch.zeros(2, 2, 3, 3))


def test_avalanches_bic_gives_torch_an_argument_that_is_gone() -> None:
    assert "verbose=False" in inspect.getsource(plugins.BiCPlugin.bias_correction_step)
    with pytest.raises(TypeError, match="verbose"):
        MultiStepLR(learner(nn.Linear(1, 1)).optimizer, [1], verbose=False)  # type: ignore[call-arg]


def test_avalanches_distillation_copies_its_classes_to_the_device() -> None:
    scores = torch.zeros(2, 3, requires_grad=True)
    with RehearsalGpu() as gpu:
        on_gpu = scores.to("cuda")
        before = gpu.waits.total()
        LearningWithoutForgetting()._distillation_loss(on_gpu, on_gpu.detach(), {0, 1, 2}).backward(retain_graph=True)
        assert gpu.waits.total() == before + 4  # forward twice, backward, and the gradient back to the CPU


def test_avalanches_ewc_copies_a_zero_to_the_device() -> None:
    with RehearsalGpu() as gpu:
        strategy = in_the_second_bucket()
        plugin = plugins.EWCPlugin(1.0)
        before = gpu.waits.total()
        plugin.before_backward(strategy)
        assert gpu.waits.total() == before + 1


def test_avalanches_mas_reads_the_loss() -> None:
    with RehearsalGpu() as gpu:
        strategy = in_the_second_bucket()
        plugin = plugins.MASPlugin()
        plugin.params = plugin.importance = {"of": "no weight"}
        before = gpu.waits.total()
        plugin.before_backward(strategy)
        assert gpu.waits.total() == before + 1


def test_avalanches_steps_begin_with_zeros(build: Callable[..., Built], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.Tensor] = []

    def make_empty_loss(strategy: Any) -> torch.Tensor:
        made.append(torch.zeros(1, device=strategy.device))
        return made[-1]

    monkeypatch.setattr(BaseSGDTemplate, "_make_empty_loss", make_empty_loss)
    model = nn.Linear(8, 3)
    naive = supervised.Naive(model=model, optimizer=SGD(model.parameters(), lr=0.1), train_mb_size=8)
    bucket = build("naive").buckets[0]
    made.clear()
    naive.train(bucket, eval_streams=[])
    assert len(made) == 4  # of three steps, and at the end


def test_avalanches_agem_divides_by_zero() -> None:
    strategy, plugin = learner(nn.Linear(2, 1, bias=False)), plugins.AGEMPlugin(4, 4)
    plugin.buffers, plugin.reference_gradients = [object()], torch.tensor([-1e-30, 0.0])
    plugin.after_backward(strategy)
    assert not strategy.model[0].weight.grad.isfinite().all()


def test_avalanches_training_from_scratch_keeps_running_means() -> None:
    strategy, plugin = learner(nn.BatchNorm1d(2)), plugins.FromScratchTrainingPlugin()
    for _ in range(2):
        plugin.before_training(strategy)
        plugin.before_training_exp(strategy)
        strategy.model(torch.ones(4, 2))
    assert strategy.model[0].num_batches_tracked == 2


def test_avalanches_synaptic_intelligence_remembers_live_weights() -> None:
    strategy, plugin = learner(nn.Linear(2, 1)), plugins.SynapticIntelligencePlugin(si_lambda=1.0)
    plugin.before_training_exp(strategy)
    plugin.before_training_iteration(strategy)
    strategy.optimizer.step()
    plugin.after_training_iteration(strategy)
    plugin.after_training_exp(strategy)
    assert not any(importance.data.any() for importance in plugin.ewc_data[1].values())


def test_avalanches_endless_loaders_are_generators() -> None:
    assert inspect.isgeneratorfunction(cycle)
    for kind in (supervised.DER, supervised.ER_ACE, supervised.FeatureReplay, plugins.MIRPlugin):
        assert "= cycle(" in inspect.getsource(kind)


def test_avalanches_er_aml_waits_for_batches_that_never_come() -> None:
    source = inspect.getsource(supervised.ER_AML._before_training_exp)
    of_a_class = source[source.index("pos_neg_loaders") :]
    assert "cycle(" in of_a_class
    assert "drop_last=True" in of_a_class  # so that a pass over too few samples gives nothing, again and again


def test_avalanches_icarl_asks_for_what_a_benchmark_has_not(build: Callable[..., Built]) -> None:
    assert "n_classes_per_exp" in inspect.getsource(_ICaRLPlugin)
    assert not hasattr(build("naive").experiment.benchmark, "n_classes_per_exp")


def test_avalanches_scheduler_plugin_resets_no_inner_schedulers() -> None:
    strategy = learner(nn.Linear(1, 1))
    strategy.is_training, strategy.clock = True, SimpleNamespace(train_exp_counter=0, train_exp_epochs=0)
    inner = [ConstantLR(strategy.optimizer, factor=0.5, total_iters=9) for _ in range(2)]
    scheduler = SequentialLR(strategy.optimizer, inner, milestones=[1])
    first = [each.last_epoch for each in inner]
    plugin = plugins.LRSchedulerPlugin(scheduler)
    for _ in range(3):
        plugin.after_training_epoch(strategy)
    plugin.after_training_exp(strategy)
    assert [each.last_epoch for each in inner] != first


def test_avalanches_csv_logger_starts_over(tmp_path: Path) -> None:
    rows = tmp_path / "training_results.csv"
    rows.write_text("a row\n")
    logger = CSVLogger(str(tmp_path))
    logger.close()
    assert "a row" not in rows.read_text()


def test_avalanches_text_logger_writes_addresses() -> None:
    assert "object at 0x" in TextLogger()._val_to_str(AlternativeValues(1.0, "one"))
