"""Facts about a strategy or plugin beside its signature. The table of all of them is `strategies.traits`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Traits:
    """Facts about one strategy or plugin; the defaults say that nothing is known, as of a user-defined class."""

    # Whether a config may name it. `refused` is the reason why it may not, `refused_with` {(key of the config's top
    # level, its value): the reason why it cannot go with that value}.
    refused: str | None = None
    refused_with: Mapping[tuple[str, object], str] = field(default_factory=dict)

    # Which runs it may be in. `shareable`: several processes may share the run, which is tested to end as with one.
    # `stackable`: as the strategy of a run that is trained with others as one batched model; `stackable_plugin`: as a
    # plugin of such a run.
    shareable: bool = False
    stackable: bool = False
    stackable_plugin: bool = False

    # The source of its samples: a bucket, all buckets so far, the whole stream in one call, or its memory alone.
    # `splits_buckets`: it sets some samples of each class of a bucket aside. `one_for_each_bucket`: the argument that
    # may be a list, with a value for each bucket.
    learns: Literal["bucket", "buckets so far", "stream", "memory"] = "bucket"
    splits_buckets: bool = False
    one_for_each_bucket: str | None = None

    # `sees_samples_once`: it adds up what it learns from, each sample once, so that no plugin may show it one again.
    sees_samples_once: bool = False

    # `sees_learned_as_tested`: it passes images of training through the network under the transform of tests too.
    sees_learned_as_tested: bool = False

    # The composition of its batches. `balances_batches`: each batch that it learns has samples of every task label;
    # `balances_memory`: each batch of its memory has, with task_balanced_dataloader=True. `samples_every_bucket`:
    # its `sample_size` is made up of the same number of each bucket, unless it has a reservoir.
    balances_batches: bool = False
    balances_memory: bool = False
    samples_every_bucket: bool = False

    # Its memory's batches. `replays_whole_batches`: it never replays as long as the memory does not fill a batch.
    replays_whole_batches: bool = False

    # Its effect on the steps of training. `takes_own_steps`: a strategy whose loss and gradients no plugin sees.
    # `acts_on_steps`: a plugin that needs an optimizer's steps; it acts on the loss, the gradients or the learning rate
    # "within" a step, or on the weights "after" it. `replaces_loader`: it learns from its own loader, with a
    # memory. `decides_weights`: it decides which weights a bucket ends with. `watches_tests`: it reads a metric of
    # tests in training.
    takes_own_steps: bool = False
    acts_on_steps: Literal["within", "after"] | None = None
    replaces_loader: bool = False
    decides_weights: bool = False
    watches_tests: bool = False

    # The argument with the number of steps that the first bucket must have; and that with the number of steps until it
    # has its whole effect.
    least_steps: str | None = None
    steps_to_rise: str | None = None

    # A description of its network's scores, if their softmax is not a probability.
    scores: str | None = None

    # The `type` of model.head that it writes, if that is not a linear layer alone.
    head: str | None = None

    # Its arguments. `choices`: the words that one may be; `number_or`: those that one may be beside a number.
    # `buffer`: that of a plugin which takes a buffer, an object, and the strategy that takes cl_strategy.buffer for it.
    # `decays`: mode='online' needs a decay_factor. `trained_layer`: that which names the one layer that continues
    # learning, `feature_layer` the layer whose output it reads.
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    number_or: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    buffer: tuple[str, str | None] | None = None
    decays: bool = False
    trained_layer: str | None = None
    feature_layer: str | None = None


TraitsOf = Callable[[object], Traits]  # those of the strategy or plugin of that name

UNKNOWN = Traits()
