"""What `export_model` writes answers as `predict` does, read with torch, torchvision and safetensors alone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from predicting import OnFeatures, make_on_features, test_images
from torch.nn import functional
from torchvision import transforms

from clearctl import export_model, layout, predict, rundir, train
from clearctl.errors import RunError, UsageError

test_images.__test__ = False


def read_torchscript(file: Path) -> tuple[torch.nn.Module, dict]:
    extra = {"metadata.json": ""}
    network = torch.jit.load(file, _extra_files=extra)
    return network, json.loads(extra["metadata.json"])


def read_safetensors(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, opened.metadata()  # noqa: SIM118


def inputs(files: list[Path], steps: list[dict]) -> torch.Tensor:
    """The images as the metadata's transform makes them, by torchvision alone."""
    built = [getattr(transforms, step["type"])(**{k: v for k, v in step.items() if k != "type"}) for step in steps]
    transform = transforms.Compose(built)
    return torch.stack([transform(Image.open(file).convert("RGB")) for file in files])


def tiny(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    """The network of configs/tiny.py, written down: stem, two basic blocks, global average, linear."""

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        parts = [w[f"backbone.{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return functional.batch_norm(x, *parts)

    x = functional.conv2d(x, w["backbone.conv1.weight"], stride=2, padding=3)
    x = functional.max_pool2d(norm(x, "bn1").relu(), 3, stride=2, padding=1)
    for block in ("layer1.0", "layer1.1"):
        y = norm(functional.conv2d(x, w[f"backbone.{block}.conv1.weight"], padding=1), f"{block}.bn1").relu()
        x = (x + norm(functional.conv2d(y, w[f"backbone.{block}.conv2.weight"], padding=1), f"{block}.bn2")).relu()
    return functional.linear(x.mean((2, 3)), w["head.fc.weight"], w["head.fc.bias"])


@pytest.fixture(scope="module")
def on_features(tmp_path_factory: pytest.TempPathFactory) -> OnFeatures:
    """Not to be changed."""
    return make_on_features(tmp_path_factory.mktemp("features"))


def test_a_torchscript_file_answers_alone(trained, prepared, tmp_path) -> None:
    files = [file for file, _ in test_images(prepared, "1")]
    result = export_model(trained.run, tmp_path / "net.pt", bucket="1")
    network, metadata = read_torchscript(tmp_path / "net.pt")
    assert metadata == result.metadata
    assert (metadata["input"], metadata["scores"], metadata["bucket"]) == (["B", 3, 14, 14], "logits", "1")
    expected = predict(trained.run, files, bucket="1", device="cpu")
    assert metadata["class_names"] == expected.class_names
    with torch.no_grad():
        scores = network(inputs(files, metadata["eval_transform"])).numpy()
    assert np.abs(scores - expected.scores).max() <= 1e-6


def test_weights_in_safetensors_answer_alone(trained, prepared, tmp_path) -> None:
    files = [file for file, _ in test_images(prepared, "1")]
    export_model(trained.run, tmp_path / "net.safetensors")
    weights, metadata = read_safetensors(tmp_path / "net.safetensors")
    saved = torch.load(rundir.checkpoint_file(trained.run, 3), weights_only=True)
    assert weights.keys() == saved.keys()
    assert all(torch.equal(weights[name], saved[name]) for name in saved)
    expected = predict(trained.run, files, device="cpu").scores
    with torch.no_grad():
        scores = tiny(inputs(files, json.loads(metadata["eval_transform"])), weights).numpy()
    assert np.abs(scores - expected).max() <= 1e-6
    assert json.loads(metadata["class_names"])[1] == "camera"
    # And clearctl reads them as any checkpoint.
    again = predict(tmp_path / "net.safetensors", files, config=trained.run, device="cpu").scores
    assert np.array_equal(again, expected)


def test_a_head_on_features_says_what_it_takes(on_features, tmp_path) -> None:
    run = on_features.trained.run
    export_model(run, tmp_path / "head.pt")
    network, metadata = read_torchscript(tmp_path / "head.pt")
    record = layout.read_json(layout.extraction_file(on_features.root, "small"))
    assert metadata["in_features"] == record["dimension"]
    assert metadata["extraction"]["settings"] == record["settings"]
    assert str(tmp_path.parent) not in json.dumps(metadata)  # no path of this machine
    x, _ = torch.load(layout.features_file(on_features.root, "small", "2"), weights_only=True)
    listed = [on_features.root / path for path, _ in layout.read_bucket_filelist(on_features.root, "2", 3)]
    with torch.no_grad():
        scores = network(x).numpy()
    assert np.abs(scores - predict(run, listed, device="cpu").scores).max() <= 1e-6


def test_features_that_nobody_knows_the_network_of(prepared, features_config, tmp_path) -> None:
    run = train(features_config, device="cpu", work_dir=tmp_path / "runs", dataset_root=prepared).run
    messages = []
    export_model(run, tmp_path / "head.safetensors", listener=messages.append)
    weights, metadata = read_safetensors(tmp_path / "head.safetensors")
    assert (metadata["in_features"], metadata["extraction"]) == ("5", "null")
    assert weights["head.fc.weight"].shape == (3, 5)
    assert any("it is unknown how the features were extracted" in event.text for event in messages)


def test_icarl_as_torchscript(on_features, tmp_path) -> None:
    strategy = "{'type': 'ICaRL', 'memory_size': 9, 'train_epochs': 1, 'train_mb_size': 8, 'eval_mb_size': 8, "
    file = tmp_path / "icarl.py"
    lines = [line for line in on_features.config.read_text().splitlines() if not line.startswith("cl_strategy")]
    file.write_text("\n".join([*lines, f"cl_strategy = {strategy}'optimizer': {{'type': 'SGD', 'lr': 0.5}}}}"]))
    run = train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=on_features.root).run
    export_model(run, tmp_path / "icarl.pt")
    network, metadata = read_torchscript(tmp_path / "icarl.pt")
    assert "nearness to class means" in metadata["scores"]
    x, _ = torch.load(layout.features_file(on_features.root, "small", "0"), weights_only=True)
    listed = [on_features.root / path for path, _ in layout.read_bucket_filelist(on_features.root, "0", 3)]
    assert np.abs(network(x).detach().numpy() - predict(run, listed, device="cpu").scores).max() <= 1e-6


ODD = """
from torch import nn

class Odd(nn.Linear):
    def forward(self, x):
        return super().forward(x) * len(x)
"""


def test_a_network_that_a_trace_does_not_hold_is_refused(prepared, features_config, tmp_path) -> None:
    (tmp_path / "odd_network.py").write_text(ODD)
    file = tmp_path / "odd.py"
    file.write_text(
        f"_base_ = [{str(features_config)!r}]\nmodel = dict(_delete_=True, torchmodel="
        "dict(type='odd_network:Odd', in_features=5, out_features=3))\n"
    )
    run = train(file, device="cpu", work_dir=tmp_path / "runs", dataset_root=prepared).run
    with pytest.raises(
        RunError, match="Odd cannot be written as TorchScript: the traced network gives other outputs\nuse "
    ):
        export_model(run, tmp_path / "odd.pt")
    assert not (tmp_path / "odd.pt").exists()
    export_model(run, tmp_path / "odd.safetensors")


@pytest.mark.parametrize(
    ("output", "format", "text"),
    [
        ("net.bin", None, r"--output .*net.bin: expected a name that ends in .safetensors, .pt, .ts or .torchscript"),
        ("net.pt", "onnx", "--format onnx: expected safetensors or torchscript"),
        ("{run}/checkpoints/exp_1.pth", "safetensors", "is inside the run's checkpoints folder"),
    ],
)
def test_what_makes_no_sense(output, format, text, trained, tmp_path) -> None:
    with pytest.raises(UsageError, match=text):
        export_model(trained.run, tmp_path / output.format(run=trained.run), format=format)


def test_a_place_that_cannot_be_written(trained, tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written: "):
        export_model(trained.run, tmp_path / "file/net.pt")
