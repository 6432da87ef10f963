"""What a config's precision, channels_last, compile and tf32 do to a run, and that they do nothing unless asked."""

import shutil
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest
import torch

from clearctl import evaluate, train
from clearctl.config.fill import fill
from clearctl.config.load import load
from clearctl.engine.build.accelerate import accelerate, allow_tf32
from clearctl.engine.build.config import open_config
from clearctl.engine.run.train import TrainResult
from clearctl.errors import CapabilityError
from clearctl.models.classifier import Classifier, build_classifier
from clearctl.progress import Message, ignore

CPU = torch.device("cpu")


def weights(run: Path, trained_buckets: int = 3) -> dict[str, torch.Tensor]:
    return torch.load(run / f"checkpoints/exp_{trained_buckets}.pth", weights_only=True)


def test_nothing_changes_unless_asked(tiny_config: Path) -> None:
    model = build_classifier(**load(tiny_config).values["model"])
    before = {name: (value.clone(), value.stride()) for name, value in model.state_dict().items()}
    accelerate(fill(open_config(tiny_config)).compute, model, CPU, ignore)
    assert (model.autocast, model.channels_last, model.compiled) == (None, False, False)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name][0])
        assert value.stride() == before[name][1]


def test_said_outright_the_defaults_are_the_same_run(
    trained: TrainResult, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    overrides = ["precision=fp32", "compile=False", "channels_last=False", "tf32=False"]
    again = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides)
    first, second = weights(trained.run), weights(again.run)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("overrides", "bound"),
    [(["channels_last=True"], 0.0), (["precision=bf16", "channels_last=True"], 0.15), (["precision=fp16"], 0.15)],
)
def test_a_run_of_images_is_near_the_plain_one_and_remembers_how_it_was_made(
    overrides: list[str], bound: float, trained: TrainResult, tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    run = train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=overrides)
    assert abs(run.matrix.mean() - trained.matrix.mean()) <= bound
    assert list(weights(run.run)) == list(weights(trained.run))
    assert np.array_equal(evaluate(run.run, device="cpu").matrix, run.matrix)
    recorded = load(run.run / "config.py").values
    assert all(f"{name}={recorded[name]}" in overrides for name in ("precision", "channels_last") if name in recorded)
    assert sum(name in recorded for name in ("precision", "channels_last")) == len(overrides)


def test_eval_may_be_reported_another_precision(trained: TrainResult) -> None:
    half = evaluate(trained.run, device="cpu", overrides=["precision=bf16"]).matrix
    assert np.abs(half - trained.matrix).max() <= 0.11  # one image of ten in a bucket


def test_a_precision_that_the_processor_only_imitates_is_reported(
    features_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64"}, raising=False)
    said: list[object] = []
    arguments = dict(device="cpu", work_dir=tmp_path, dataset_root=prepared, listener=said.append)
    train(features_config, overrides=["precision=bf16"], **arguments)
    assert any("does not support bf16" in event.text for event in said if isinstance(event, Message) and event.warning)


def test_tf32_is_set_on_cuda_alone_and_both_generations_of_switches_agree() -> None:
    def switches() -> tuple[object, ...]:
        backends = torch.backends
        return (
            backends.cuda.matmul.allow_tf32,
            backends.cudnn.allow_tf32,
            backends.cuda.matmul.fp32_precision == "tf32",
            backends.cudnn.conv.fp32_precision == "tf32",
            torch.get_float32_matmul_precision() == "high",
        )

    before = switches()
    try:
        allow_tf32(True, CPU)
        assert switches() == before
        for allowed in (True, False):
            allow_tf32(allowed, torch.device("cuda"))
            assert switches() == (allowed,) * 5
            # What extract-features does around its convolutions reads the older switches.
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                assert not torch.backends.cudnn.allow_tf32
            assert switches() == (allowed,) * 5
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before[:2]


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_reported_before_the_run(
    tiny_config: Path, prepared: Path, tmp_path: Path
) -> None:
    from torch._inductor import config

    torch._dynamo.reset()  # what other tests have compiled
    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(CapabilityError) as raised:
        train(tiny_config, device="cpu", work_dir=tmp_path, dataset_root=prepared, overrides=["compile=True"])
    reported, advice = str(raised.value).splitlines()
    assert reported.startswith("compile=True: torch.compile does not work on this machine: ")
    assert "no-such-compiler" in reported
    assert advice == "install a C++ compiler such as g++, or leave compile out"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_a_compiled_run_has_the_same_names_and_a_copying_strategy_works(
    tiny_config: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    # All of torch.compile but the generated code, which takes a minute to compile and is tested in tests/models.
    whole = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", partialmethod(whole, backend="aot_eager"))
    lwf = [f"cl_strategy={dict(type='LwF', alpha=1, temperature=2)!r}", "cl_strategy.train_mb_size=8"]
    lwf = [*lwf, "cl_strategy.train_epochs=4", "cl_strategy.optimizer={'type': 'SGD', 'lr': 0.01}"]
    arguments = dict(device="cpu", work_dir=tmp_path, dataset_root=prepared)
    plain = train(tiny_config, overrides=lwf, **arguments)
    before = counters["stats"]["unique_graphs"]
    compiled = train(tiny_config, overrides=[*lwf, "compile=True"], **arguments)
    assert counters["stats"]["unique_graphs"] - before >= 4  # backbone and neck, learning and remembering
    first, second = weights(plain.run), weights(compiled.run)
    assert list(first) == list(second)
    for name, value in first.items():
        assert torch.allclose(value.float(), second[name].float(), atol=1e-4, rtol=1e-3), name


def test_a_torchmodel_is_left_alone(features_config: Path) -> None:
    model = build_classifier(torchmodel=dict(type="Linear", in_features=4, out_features=2))
    assert not isinstance(model, Classifier)
    accelerate(fill(open_config(features_config)).compute, model, CPU, ignore)
