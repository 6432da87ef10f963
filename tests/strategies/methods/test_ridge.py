"""Ridge against NumPy; the choice of lambda by training samples alone."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from blobs import CLASSES, PER_BUCKET, Built
from closed_forms import arrays, layer
from hypothesis import given, settings
from hypothesis import strategies as st

from clearctl import rundir, train
from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.errors import ConfigError
from clearctl.strategies.methods.held_out import held_out
from clearctl.strategies.methods.ridge import choose

pytest_plugins = ("blobs", "closed_forms")
GRID = [0.01, 0.1, 1.0, 10.0]


def ridge(x: np.ndarray, y: np.ndarray, number: float) -> np.ndarray:
    """Weights [C, D] of the regression onto one-hot labels."""
    return np.linalg.solve(x.T @ x + number * np.eye(x.shape[1]), x.T @ np.eye(CLASSES)[y]).T


@pytest.mark.parametrize("number", [1e-3, 1.0, 50.0])
def test_it_is_numpys(number: float, solved: Callable[..., Built]) -> None:
    built = solved("ridge", ridge_lambda=number, accumulate="float64")
    weight, bias = layer(built)
    assert np.allclose(weight, ridge(*arrays(built), number), rtol=1e-6, atol=1e-6)
    assert not bias.any()


def test_float32_differs_by_rounding(solved: Callable[..., Built]) -> None:
    built = solved("ridge", ridge_lambda=1.0)
    assert np.allclose(layer(built)[0], ridge(*arrays(built), 1.0), rtol=1e-4, atol=1e-4)


def test_lambda_is_that_of_the_least_error_on_the_samples_held_out(solved: Callable[..., Built]) -> None:
    built = solved("ridge", lambdas=GRID, validation_share=0.25, validation_seed=3, accumulate="float64")
    x, y = arrays(built, [0])
    out = held_out(torch.from_numpy(y), 0.25, 3).numpy()
    errors = {n: ((x[out] @ ridge(x[~out], y[~out], n).T - np.eye(CLASSES)[y[out]]) ** 2).mean() for n in GRID}
    best = min(GRID, key=lambda n: errors[n])
    assert built.strategy.solved_lambda == best
    assert np.allclose(layer(built)[0], ridge(*arrays(built), best), rtol=1e-6, atol=1e-6)  # from all samples


def test_every_bucket_may_choose_again(solved: Callable[..., Built]) -> None:
    built = solved("ridge", (0,), lambdas=GRID, validate_every_bucket=True, accumulate="float64")
    strategy = built.strategy
    first = strategy.solved_lambda
    strategy.lambdas = [first * 1e6]
    strategy.train(built.buckets[1])
    assert strategy.solved_lambda == first * 1e6
    once = solved("ridge", (0,), lambdas=GRID)
    once.strategy.lambdas = [1e6]
    once.strategy.train(once.buckets[1])
    assert once.strategy.solved_lambda in GRID


def test_where_nothing_can_be_solved_the_largest_is_chosen(solved: Callable[..., Built]) -> None:
    moments = solved("ridge", (), ridge_lambda=1.0).strategy.moments  # of no samples
    assert choose([0.0], moments, []) == 0.0


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_some_of_each_class_are_held_out_and_never_all(labels: list[int], share: float, seed: int) -> None:
    y = torch.tensor(labels)
    out = held_out(y, share, seed)
    assert torch.equal(out, held_out(y, share, seed))
    drawn = Counter(y[out].tolist())
    for target, count in Counter(labels).items():
        assert drawn[target] == (0 if count == 1 else min(max(round(count * share), 1), count - 1))


def test_the_choice_is_in_the_metrics_file(write_config: Callable[..., Path], tmp_path: Path) -> None:
    run = train(write_config("ridge", lambdas=GRID), device="cpu", work_dir=tmp_path).run
    records = [json.loads(line) for line in rundir.metrics_file(run).read_text().splitlines()]
    chosen = [record["ridge_lambda"] for record in records if record["event"] == "epoch"]
    assert len(chosen) == 3
    assert len(set(chosen)) == 1
    assert chosen[0] in GRID
    plain = train(write_config("naive"), device="cpu", work_dir=tmp_path / "plain").run
    assert "ridge_lambda" not in rundir.metrics_file(plain).read_text()


def test_a_singular_equation_names_lambda(write_config: Callable[..., Path], tmp_path: Path) -> None:
    config = write_config("ridge", ridge_lambda=0.0)
    root = Path(shutil.copytree(load(config).values["scenario"]["dataset_root"], tmp_path / "root"))
    for file in (root / "training_folder/features/blobs").rglob("all.pth"):
        x, labels = torch.load(file, weights_only=True)
        x[:, 0] = 0.0  # as units of a network that are never active
        torch.save((x, labels), file)
    place = r"ridge.py: cl_strategy.ridge_lambda: found 0"
    message = rf"{place}, for which G \+ lambda I of {PER_BUCKET} samples of 8 numbers is singular\ngive"
    with pytest.raises(ConfigError, match=message):
        train(config, device="cpu", work_dir=tmp_path / "runs", dataset_root=root)


@pytest.mark.parametrize(
    ("given", "key", "message"),
    [
        (dict(ridge_lambda=-1.0), "ridge_lambda", "found -1.0, expected a number from 0"),
        (dict(ridge_lambda="validate"), "ridge_lambda", "found 'validate', expected a number or 'validation'"),
        (dict(ridge_lambda=[1.0]), "ridge_lambda", "found [1.0], expected float or int or str"),
        (dict(lambdas=[1.0, -2.0]), "lambdas", "found [1.0, -2.0], expected a number from 0 for each"),
        (dict(validation_share=1.0), "validation_share", "found 1.0, expected a number above 0 and below 1"),
        (
            dict(accumulate="float16"),
            "accumulate",
            "found 'float16', expected 'float32' or 'float64'; did you mean 'float64'?",
        ),
        (dict(train_epochs=3), "train_epochs", "Ridge sees each sample once: leave it out"),
        (
            dict(plugins=[dict(type="ReplayPlugin", mem_size=5)]),
            "plugins.0",
            "Ridge must see each sample once, but ReplayPlugin repeats some: leave it out",
        ),
        (
            dict(plugins=[dict(type="GDumbPlugin", mem_size=5)]),
            "plugins.0",
            "Ridge must see each sample once, but GDumbPlugin repeats some: leave it out",
        ),
    ],
)
def test_faults(given: dict[str, object], key: str, message: str, write_config: Callable[..., Path]) -> None:
    faults = check(load(write_config("ridge", **given)), CATALOGUE)
    assert [(fault.key, fault.message) for fault in faults] == [(f"cl_strategy.{key}", message)]


def test_a_bucket_with_one_sample_a_class_cannot_choose(solved: Callable[..., Built]) -> None:
    built = solved("ridge", ())
    bucket = built.buckets[0]
    bucket.dataset = bucket.dataset.subset([0, 8, 16])
    with pytest.raises(ConfigError, match=r"ridge_lambda: found 'validation', but bucket 1 has no class with two"):
        built.strategy.train(bucket)
