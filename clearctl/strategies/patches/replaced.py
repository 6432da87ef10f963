"""Attributes of the libraries' classes that `strategies.patches.applied` replaces while a run is in progress."""

from clearctl.strategies.patches.row import AVALANCHE, TORCH, Patch

REPLACED: tuple[Patch, ...] = (
    Patch(
        "AvalancheDataset.__getitems__",
        "strategies.patches.applied",
        "torch asks a dataset for it to fetch a batch at once, and Avalanche's fetches sample by sample",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_datasets_fetch_sample_by_sample",
        "process",
    ),
    Patch(
        "DataAttribute.__iter__",
        "strategies.patches.applied",
        "Avalanche lists all labels of a benchmark several times, each value through a tree of subsets",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_attributes_ask_for_each_value",
        "process",
    ),
    Patch(
        "torch.utils.data default_collate_fn_map",
        "strategies.loading.fetching.collate_samples",
        "torch's collate function must recognise batches that are already gathered",
        TORCH,
        "tests/strategies/loading/test_gather.py::test_a_loader_with_another_collate_function_gets_samples",
        "process",
    ),
    Patch(
        "DistributedHelper.is_distributed",
        "strategies.patches.applied",
        "Avalanche's loaders would give the processes of a run other samples, and fill up what does not divide, where"
        " all of them learn every batch, each a part (`models.parallel`)",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_loaders_divide_the_samples_among_processes",
        "process",
    ),
    Patch(
        "LearningWithoutForgetting._distillation_loss",
        "strategies.methods.penalties.distillation_loss",
        "Avalanche indexes by a list of classes, which is copied to a GPU three times a step",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_distillation_copies_its_classes_to_the_device",
        "process",
    ),
    Patch(
        "EWCPlugin.before_backward",
        "strategies.methods.penalties.ewc_before_backward",
        "Avalanche copies a zero to a GPU in each step",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_ewc_copies_a_zero_to_the_device",
        "process",
    ),
    Patch(
        "MASPlugin.before_backward",
        "strategies.methods.penalties.mas_before_backward",
        "Avalanche reads the loss from a GPU in each step, and ends a run whose loss is 0",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_mas_reads_the_loss",
        "process",
    ),
    Patch(
        "MERBuffer.get_batch",
        "strategies.methods.mer.with_memory",
        "Avalanche reads each sample of the memory three times, one after another",
        AVALANCHE,
        "tests/strategies/test_upstream.py::test_avalanches_mer_reads_each_sample_of_its_memory_three_times",
        "process",
    ),
)
