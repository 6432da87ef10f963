"""`extract-features` as a user meets it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from clearctl import prepare_avalanche
from clearctl.cli import app


def clearctl(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def root(clear_folder, monkeypatch) -> Path:
    folder = clear_folder(images=2, size_px=48, buckets=("0", "1"))
    prepare_avalanche(folder, test_ratio=0)
    monkeypatch.setenv("CLEARCTL_DATASET_ROOT", str(folder))
    return folder


def test_torchvisions_default_weights_are_taken_from_where_torch_keeps_them(root, monkeypatch, tmp_path):
    """`--arch NAME` alone: the real file is not here, so one of its shape stands in torch's folder for it."""
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    weights = squeezenet1_1().state_dict()
    name = Path(SqueezeNet1_1_Weights.DEFAULT.url).name
    (tmp_path / "checkpoints").mkdir()
    torch.save(weights, tmp_path / "checkpoints" / name)
    damaged = clearctl("extract-features", "--arch", "squeezenet1_1", "--device", "cpu")
    assert damaged.exit_code == 5, damaged.stderr  # its hash is not the published one
    assert name in damaged.stderr
    given = clearctl(
        "extract-features",
        "--arch",
        "squeezenet1_1",
        "--device",
        "cpu",
        "--checkpoint",
        tmp_path / "checkpoints" / name,
    )
    assert given.exit_code == 0, given.stderr
    assert f"{root}/training_folder/features/squeezenet1_1: 512 numbers per image in 2 buckets" in given.stdout
    assert "images/s" in given.stdout
    assert "of the time waiting for images" in given.stdout
    suggested = "train own_data_feature --set scenario.feature_type=squeezenet1_1"
    assert f"next: clearctl {suggested}\n" in given.stdout
    prepare_avalanche(root, seeds=[0])  # with a part to test on, as the suggested config asks
    checked = clearctl("config", "check", *suggested.split()[1:])
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    assert "checked against" in checked.stdout


def test_it_speaks_json_and_a_second_run_has_nothing_to_do(root):
    arguments = [
        "extract-features",
        "--arch",
        "mmcls:MobileNetV2",
        "--arch-arg",
        "widen_factor=0.25",
        "--name",
        "small",
    ]
    arguments += ["--weights", "none", "--device", "cpu", "--batch-size", "3"]
    first = clearctl(*arguments, "--json")
    assert first.exit_code == 0, first.stderr
    answer = json.loads(first.stdout)
    assert (answer["name"], answer["dimension"], answer["written"], answer["images"]) == ("small", 1280, ["0", "1"], 12)
    assert answer["cached"] == 0
    assert "RANDOM" in answer["weights"]
    assert "warning: " in first.stderr
    again = clearctl(*arguments)
    assert "nothing to do: all features are up to date" in again.stdout
    by_class = clearctl(*arguments, "--layout", "official")
    assert f"{root}/features/small: the same by class and id" in by_class.stdout
    assert "nothing to do" not in by_class.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_compiled_it_says_how_long_that_took(root):
    one_stage = ("depth=18", "num_stages=1", "strides=(1,)", "dilations=(1,)", "out_indices=(0,)", "base_channels=8")
    arguments = ["extract-features", "--arch", "mmcls:ResNet", "--compile"]
    arguments += [word for argument in (*one_stage, "stem_channels=8") for word in ("--arch-arg", argument)]
    arguments += ["--weights", "none", "--device", "cpu", "--batch-size", "4"]
    first = clearctl(*arguments, "--json", "--buckets", "0")
    assert first.exit_code == 0, first.stderr
    assert "compiling the network for 4 images at once" in first.stderr
    answer = json.loads(first.stdout)
    assert 0 < answer["compiling_seconds"] < answer["seconds"]
    second = clearctl(*arguments)
    assert "of it compiling" in second.stdout
    plain = clearctl(*[argument for argument in arguments if argument != "--compile"])
    assert plain.exit_code == 4, plain.stderr
    assert "compile was True, is now False" in plain.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "reported"),
    [
        (["--arch", "resnet51"], 2, "resnet50"),
        (["--arch", "res/net50"], 2, "no classification model of torchvision is called 'res/net50'"),
        (["--arch-arg", "depth"], 2, "--arch-arg depth: expected KEY=VALUE"),
        (["--arch", "mmcls:ResNet"], 2, "mmcls:ResNet"),
        (["--arch", "mmcls:ResNet", "--arch-arg", "depth=50"], 2, "no default weights"),
        (["--layout", "both"], 2, "--layout both"),
        (["--precision", "half"], 2, "--precision half"),
        (["--cache", "disk"], 2, "--cache disk: expected auto or off"),
        (["--cache-dir", "nowhere"], 2, "--cache-dir nowhere"),
        (["--config", "nowhere.py"], 3, "nowhere.py"),
        (["--checkpoint", "nowhere.pth"], 5, "nowhere.pth"),
        (["--device", "cuda:99"], 6, "--device cuda:99"),
    ],
)
def test_wrong_arguments(root, arguments, code, reported):
    result = clearctl("extract-features", "--device", "cpu", *arguments)
    assert result.exit_code == code, result.stderr
    assert reported in result.stderr
    errors = result.stderr[result.stderr.index("error: ") :].strip().splitlines()
    assert len(errors) <= 2, result.stderr
    assert result.stdout == ""
    assert not (root / "training_folder/features").exists()


def test_without_a_network_it_says_which_file_to_pass(root, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # nobody listens there
    result = clearctl("extract-features", "--device", "cpu")
    assert result.exit_code == 6, result.stderr
    assert "ResNet50_Weights.IMAGENET1K_V2 cannot be downloaded" in result.stderr
    assert "--checkpoint FILE" in result.stderr
    assert "resnet50-11ad3fa6.pth" in result.stderr
