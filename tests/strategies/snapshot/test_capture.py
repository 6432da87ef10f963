"""What a state holds: plain values that torch reads back without running code, and no live object."""

import copy
import io
import random
from collections import Counter, OrderedDict, defaultdict, deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from avalanche.benchmarks.utils.transform_groups import EmptyTransformGroups
from avalanche.evaluation.metric_results import AlternativeValues
from avalanche.evaluation.metrics import Mean
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clearctl.strategies.snapshot.capture import CannotCaptureError, Capturer
from clearctl.strategies.snapshot.kinds import external_objects
from clearctl.strategies.snapshot.restore import restore
from clearctl.strategies.watching.batch import BatchRecord, BatchResult

CPU = torch.device("cpu")


class Holder(Mean):
    """An object of a class that states know, with whatever attributes."""

    __module__ = "clearctl.test"

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("clearctl.test")
    module.Holder = Holder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clearctl.test", module)


def through_a_file(nodes: Any) -> Any:
    """Written and read as a state file is."""
    buffer = io.BytesIO()
    torch.save(nodes, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def again(value: Any, live: Any = None, objects: dict[str, Any] | None = None) -> Any:
    """`value`, captured and loaded into a holder that has `live` in its place."""
    nodes = Capturer(objects or {}).capture({"root": Holder(value=value)}, CPU)
    holder = Holder(value=live)
    restore(through_a_file(nodes), {"root": holder}, objects or {}, CPU)
    return holder.value


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=20)
        | st.tuples(inner, inner)
        | st.dictionaries(
            st.integers() | st.text(max_size=2) | st.tuples(st.integers(), st.booleans()), inner, max_size=4
        )
        | st.sets(st.integers(), max_size=5)
    ),
    max_leaves=40,
)


@given(VALUES, VALUES)
@settings(max_examples=300, deadline=None)
def test_plain_values_come_back_whatever_was_there(value: Any, live: Any) -> None:
    found = again(value, copy.deepcopy(live))
    assert found == value
    assert repr(found) == repr(value)  # types and order too


@pytest.mark.parametrize(
    "value",
    [
        OrderedDict([("b", 1), ("a", 2)]),
        Counter({"a": 3}),
        deque([1, 2, 3], maxlen=3),
        frozenset({1, 2}),
        torch.Size([2, 3]),
        torch.float16,
        np.float32(0.1),
        np.int64(3),
        range(2, 9, 3),
        slice(1, None, 2),
        Path("a/b"),
        BatchResult(0.5, 3, 4),
        float("inf"),
        2**70,
        list(range(1000)),
        [0.1] * 100,
        [2**70] * 20,
        int,
        Mean,
    ],
    ids=repr,
)
def test_other_values_come_back(value: Any) -> None:
    found = again(value)
    assert found == value
    assert type(found) is type(value)


def test_default_dicts_keep_their_factory() -> None:
    found = again(defaultdict(Mean, {0: Mean()}))
    assert isinstance(found[0], Mean)
    assert isinstance(found["new"], Mean)
    live = defaultdict(partial(list, (1,)))
    assert again(defaultdict(lambda: [1], {0: [2]}), live) is live  # a function stays, where there is one
    assert live == {0: [2]}
    assert live["new"] == [1]


def test_avalanches_empty_transforms_are_made_again() -> None:
    found = again(EmptyTransformGroups())
    assert found.transform_groups["whatever"] is None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4),
        torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.randn(6)[2:4],
        torch.tensor(3),
        torch.zeros(0, 5),
        torch.randn(3, dtype=torch.bfloat16),
        torch.randn(3, requires_grad=True),
        nn.Parameter(torch.randn(2)),
        nn.Parameter(torch.randn(2), requires_grad=False),
    ],
    ids=lambda tensor: str(tuple(tensor.shape)),
)
def test_tensors_come_back_bit_for_bit(tensor: torch.Tensor) -> None:
    found = again(tensor)
    assert torch.equal(found, tensor)
    assert (found.dtype, found.stride(), found.requires_grad) == (tensor.dtype, tensor.stride(), tensor.requires_grad)
    assert type(found) is type(tensor)


def test_what_is_shared_stays_shared() -> None:
    inner, weight = [1], torch.randn(4)
    value = {"a": inner, "b": inner, "whole": weight, "part": weight[1:3], "again": weight}
    value["itself"] = value
    found = again(value)
    assert found["a"] is found["b"]
    assert found["itself"] is found
    assert found["whole"] is found["again"]
    found["whole"].zero_()
    assert not found["part"].any()


def test_what_is_not_shared_is_not_shared_afterwards() -> None:
    live = [0]
    found = again({"a": [1], "b": [1]}, {"a": live, "b": live})
    assert found["a"] is live
    assert found["b"] is not live
    assert found == {"a": [1], "b": [1]}


def test_a_part_of_a_large_tensor_is_kept_without_the_rest() -> None:
    nodes = Capturer({}).capture({"root": Holder(value=torch.zeros(1_000_000)[:10])}, CPU)
    buffer = io.BytesIO()
    torch.save(nodes, buffer)
    assert len(buffer.getvalue()) < 10_000


def test_a_state_stays_as_it_is_while_training_continues() -> None:
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    numbers = Holder(layer=layer, optimizer=optimizer, count=[1])
    nodes = Capturer({}).capture({"root": numbers}, CPU)
    before = through_a_file(nodes)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    numbers.count.append(2)
    assert repr(through_a_file(nodes)) == repr(before)


def test_generators_continue_where_they_were() -> None:
    python, generator = random.Random(3), torch.Generator().manual_seed(3)
    found = again([copy.deepcopy(python), generator.clone_state()])
    assert found[0].random() == python.random()
    assert torch.equal(torch.rand(3, generator=found[1]), torch.rand(3, generator=generator))


def test_pictures_are_left_out_with_what_is_made_of_them_alone() -> None:
    from matplotlib.figure import Figure

    numbers = AlternativeValues(Figure(), torch.eye(2))
    found = again(
        {"figure": Figure(), "both": numbers, "only": AlternativeValues(Figure()), "pair": [(1, Figure()), 2]}
    )
    assert list(found) == ["both", "pair"]
    assert torch.equal(found["both"].alternatives[0], torch.eye(2))
    assert found["pair"] == [2]


def test_indices_in_a_list_of_tensors_are_those_of_the_list_now() -> None:
    indices = list(torch.arange(20))
    holder, capturer = Holder(value=indices), Capturer({})
    for change in (None, 3, None):
        if change is not None:
            indices[5] = torch.tensor(change)
        live = Holder(value=None)
        restore(through_a_file(capturer.capture({"root": holder}, CPU)), {"root": live}, {}, CPU)
        assert torch.equal(torch.stack(live.value), torch.stack(indices))


def test_what_every_run_is_given_is_named_and_not_held() -> None:
    rows = torch.zeros(1_000_000)
    given_ones = external_objects({"train": [Holder(rows=rows)]})
    assert "train.0.rows" in given_ones
    nodes = Capturer(given_ones).capture({"root": Holder(value=[rows])}, CPU)
    assert len(repr(nodes)) < 1000
    other = torch.ones(3)
    live = Holder(value=None)
    restore(through_a_file(nodes), {"root": live}, external_objects({"train": [Holder(rows=other)]}), CPU)
    assert live.value[0] is other


def test_times_and_what_a_step_makes_again_are_no_state() -> None:
    record, live = BatchRecord(), BatchRecord()
    record._due, live._due = 1.0, 2.0
    found = again(record, live)
    assert found is live
    assert found._due == 2.0


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ((n for n in range(3)), "generator"),
        (iter([1]), "list_iterator"),
        (type("Own", (), {})(), "Own"),
        (1j, "complex"),
    ],
)
def test_what_no_state_can_hold_is_refused_with_its_place(value: Any, name: str) -> None:
    with pytest.raises(CannotCaptureError, match=rf"^root\.value\.plugins\.2 is a \S*{name}$"):
        Capturer({}).capture({"root": Holder(value={"plugins": [1, 2, value]})}, CPU)
