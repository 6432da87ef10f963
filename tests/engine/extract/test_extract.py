"""extract-features end to end: the rows, the files, continuing after a kill, and what is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from halting import Halt
from PIL import Image
from torchvision import models, transforms
from warm import FORKED

from clearctl import extract_features, layout, prepare_avalanche, train
from clearctl.config.load import load
from clearctl.data.features import load_features, load_released_features
from clearctl.data.stream import read_stream
from clearctl.errors import CapabilityError, ConfigError, DatasetError, RunError, UsageError
from clearctl.progress import Counted, Message

# Small pictures and a small transform: the networks are real, their inputs are not 224 px.
CONFIG = """
scenario = dict(eval_transform=[
    dict(type='Resize', size=40), dict(type='CenterCrop', size=32), dict(type='ToTensor'),
    dict(type='Normalize', mean=[0.5, 0.4, 0.3], std=[0.2, 0.3, 0.4])])
model = dict(backbone={backbone})
"""
RESNET = "dict(type='ResNet', depth=18, stem_channels=8, base_channels=8)"
MOBILENET = "dict(type='MobileNetV2', widen_factor=0.25)"


@pytest.fixture
def root(clear_folder) -> Path:
    folder = clear_folder(images=3, size_px=48, noise=60.0, buckets=("0", "1", "2"))
    prepare_avalanche(folder, seeds=[0])
    return folder


@pytest.fixture
def config(tmp_path) -> Path:
    file = tmp_path / "small.py"
    file.write_text(CONFIG.format(backbone=RESNET))
    return file


def pixels(root: Path, bucket: str, steps) -> torch.Tensor:
    """The bucket's images in file-list order, transformed one by one with nothing of clearctl's."""
    lines = (root / f"training_folder/filelists/{bucket}/all.txt").read_text().split("\n")
    transform = transforms.Compose(steps)
    return torch.stack([transform(Image.open(root / line.rpartition(" ")[0]).convert("RGB")) for line in lines])


def labels(root: Path, bucket: str) -> list[int]:
    lines = (root / f"training_folder/filelists/{bucket}/all.txt").read_text().split("\n")
    return [int(line.rpartition(" ")[2]) for line in lines]


PUBLISHED = [
    transforms.Resize(224),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
]
SMALL = [
    transforms.Resize(40),
    transforms.CenterCrop(32),
    transforms.ToTensor(),
    transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]),
]


def rows_match(rows: torch.Tensor, expected: torch.Tensor) -> None:
    """Folded batch norms and another memory format change the last bits, no more."""
    assert rows.shape == expected.shape
    assert (rows - expected).abs().max() <= 1e-4 * expected.std()
    distances = torch.cdist(rows, expected)
    assert torch.equal(distances.argmin(dim=1), torch.arange(len(rows)))  # no two rows are swapped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "cut", "dimension"),
    [
        ("resnet18", ("fc",), 512),
        ("mobilenet_v3_small", ("classifier", "3"), 1024),
        ("vit_b_32", ("heads", "head"), 768),
    ],
)
def test_rows_are_a_direct_forward_of_torchvisions_model(root, tmp_path, arch, cut, dimension):
    torch.manual_seed(3)
    network = getattr(models, arch)()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
            torch.nn.init.uniform_(module.weight, 0.5, 2.0)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    result = extract_features(root, arch=arch, checkpoint=tmp_path / "weights.pth", device="cpu", batch_size=4)
    assert (result.name, result.dimension, result.buckets) == (arch, dimension, ("0", "1", "2"))
    *above, last = cut
    setattr(network.get_submodule(".".join(above)), last, torch.nn.Identity())
    network.eval()
    for bucket in result.buckets:
        x, targets = load_features(layout.features_file(root, arch, bucket))
        with torch.no_grad():
            rows_match(x, network(pixels(root, bucket, PUBLISHED)))
        assert targets == labels(root, bucket)


@pytest.mark.parametrize("backbone", [RESNET, MOBILENET])
def test_rows_are_a_direct_forward_of_mmclss_backbone(root, tmp_path, backbone):
    from mmcls.models import build_backbone

    file = tmp_path / "small.py"
    file.write_text(CONFIG.format(backbone=backbone))
    torch.manual_seed(3)
    network = build_backbone(load(file).values["model"]["backbone"])
    network.eval()
    torch.save(
        {"state_dict": {f"backbone.{key}": value for key, value in network.state_dict().items()}}, tmp_path / "w.pth"
    )
    result = extract_features(root, config=file, checkpoint=tmp_path / "w.pth", device="cpu", batch_size=4)
    assert result.name == "small"
    for bucket in result.buckets:
        x, _ = load_features(layout.features_file(root, "small", bucket))
        with torch.no_grad():
            rows_match(x, network(pixels(root, bucket, SMALL))[-1].mean((2, 3)))


def test_the_record_says_how_the_features_were_made(root, config):
    said = []
    result = extract_features(root, config=config, weights="none", device="cpu", listener=said.append)
    record = json.loads((result.folder / "extraction.json").read_text())
    assert record["settings"]["arch"] == "mmcls:ResNet"
    assert record["settings"]["arguments"] == {"depth": 18, "stem_channels": 8, "base_channels": 8}
    assert [step["type"] for step in record["settings"]["transform"]] == [
        "Resize",
        "CenterCrop",
        "ToTensor",
        "Normalize",
    ]
    made = tuple(record["settings"][key] for key in ("precision", "compile", "device"))
    assert made == ("fp32", False, "cpu")
    assert re.fullmatch("[0-9a-f]{64}", record["settings"]["weights_sha256"])
    assert "RANDOM" in record["about"]["weights"]["from"]
    assert record["about"]["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert record["dimension"] == result.dimension == 64
    assert {name: entry["rows"] for name, entry in record["buckets"].items()} == {"0": 9, "1": 9, "2": 9}
    assert any(isinstance(event, Message) and event.warning and "RANDOM" in event.text for event in said)
    counted = [event for event in said if isinstance(event, Counted)]
    assert (counted[-1].done, counted[-1].total, counted[-1].unit) == (27, 27, "images")


def feature_bytes(root: Path, name: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in layout.features_folder(root, name).glob("*/all.pth")}


def test_the_same_images_give_the_same_bytes_whatever_the_workers(root, config):
    for name, workers in (("a", 0), ("b", 2)):
        extract_features(root, config=config, weights="none", name=name, workers=workers, batch_size=4, device="cpu")
    assert feature_bytes(root, "a") == feature_bytes(root, "b")
    assert len(feature_bytes(root, "a")) == 3


def test_a_second_run_does_nothing_and_what_is_missing_or_damaged_is_made_again(root, config):
    def extract():
        return extract_features(root, config=config, weights="none", device="cpu", batch_size=4)

    extract()
    whole = feature_bytes(root, "small")
    assert extract().written == ()
    layout.features_file(root, "small", "1").unlink()
    layout.features_file(root, "small", "2").write_bytes(b"cut off")
    assert extract().written == ("1", "2")
    assert feature_bytes(root, "small") == whole


def test_buckets_may_be_added_later(root, config):
    first = extract_features(root, config=config, weights="none", device="cpu", buckets=["1"])
    assert (first.written, list(feature_bytes(root, "small"))) == (("1",), ["1"])
    assert extract_features(root, config=config, weights="none", device="cpu").written == ("0", "2")


def test_features_made_otherwise_are_never_mixed(root, config):
    extract_features(root, config=config, weights="none", device="cpu")
    before = feature_bytes(root, "small")
    with pytest.raises(DatasetError, match="precision was 'fp32', is now 'bf16'"):
        extract_features(root, config=config, weights="none", device="cpu", precision="bf16")
    assert feature_bytes(root, "small") == before
    extract_features(root, config=config, weights="none", device="cpu", precision="bf16", buckets=["1"], force=True)
    after = feature_bytes(root, "small")
    assert list(after) == ["1"]  # the others were of another make
    assert after["1"] != before["1"]


def test_a_record_that_does_not_speak_of_compiling_was_not_compiled(root, config):
    result = extract_features(root, config=config, weights="none", device="cpu", buckets=["0"])
    record = json.loads((result.folder / "extraction.json").read_text())
    del record["settings"]["compile"]
    (result.folder / "extraction.json").write_text(json.dumps(record))
    assert extract_features(root, config=config, weights="none", device="cpu").written == ("1", "2")
    assert json.loads((result.folder / "extraction.json").read_text())["settings"]["compile"] is False


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
def test_compiled_the_rows_are_those_of_the_network_and_the_record_says_so(root, config):
    arguments = {"config": config, "weights": "none", "device": "cpu", "batch_size": 4}  # buckets of 9: the last has 1
    extract_features(root, name="eager", **arguments)
    result = extract_features(root, compile=True, **arguments)
    assert 0 < result.compiling_s < result.seconds
    assert json.loads((result.folder / "extraction.json").read_text())["settings"]["compile"] is True
    for bucket in ("0", "1", "2"):
        x, targets = load_features(layout.features_file(root, "small", bucket))
        rows_match(x, load_features(layout.features_file(root, "eager", bucket))[0])
        assert targets == labels(root, bucket)
    whole = feature_bytes(root, "small")
    layout.features_file(root, "small", "1").unlink()
    assert extract_features(root, compile=True, **arguments).written == ("1",)
    assert feature_bytes(root, "small") == whole
    with pytest.raises(DatasetError, match="compile was True, is now False"):
        extract_features(root, **arguments)
    with pytest.raises(DatasetError, match="compile was False, is now True"):
        extract_features(root, name="eager", compile=True, **arguments)


@pytest.mark.slow
def test_without_a_compiler_it_is_reported_before_anything_is_written(root, config):
    from torch._inductor import config as generating

    torch._dynamo.reset()  # what other tests have compiled
    with generating.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(CapabilityError, match="no-such-compiler"):
        extract_features(root, config=config, weights="none", device="cpu", compile=True)
    assert not (root / "training_folder/features").exists()


@pytest.mark.parametrize(("units", "warned"), [({}, True), ({"avx512_bf16": True}, False), ({"amx_bf16": True}, False)])
def test_a_precision_that_the_processor_only_imitates_is_reported(root, config, monkeypatch, units, warned):
    said = []
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", **units}, raising=False)
    arguments = {"config": config, "weights": "none", "device": "cpu", "buckets": ["0"]}
    extract_features(root, precision="bf16", listener=said.append, **arguments)
    texts = [event.text for event in said if isinstance(event, Message) and event.warning]
    assert any("does not support bf16: --precision fp32 is faster" in text for text in texts) == warned


def test_features_of_a_release_are_not_overwritten(root, config):
    from clearctl.data.features import save_features

    save_features(layout.features_file(root, "moco_b0", "0"), torch.ones(9, 4), labels(root, "0"))
    with pytest.raises(DatasetError, match=r"no extraction\.json"):
        extract_features(root, config=config, weights="none", name="moco_b0", device="cpu")


def test_a_damaged_bucket_is_refused_and_then_extracted_again(root, config):
    given = {"config": config, "weights": "none", "name": "mine", "device": "cpu"}
    extract_features(root, **given)
    whole = feature_bytes(root, "mine")
    file = layout.features_file(root, "mine", "1")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        read_stream(root, feature_type="mine")
    first, second = str(caught.value).split("\n")
    assert first.startswith(f"{file} is damaged: its sha256 is ")
    assert second.startswith("run the same `clearctl extract-features` again, which")
    assert extract_features(root, **given).written == ("1",)
    assert feature_bytes(root, "mine") == whole
    read_stream(root, feature_type="mine")


@pytest.mark.slow
def test_killed_at_any_moment_it_continues_to_the_same_bytes(root, config, tmp_path):
    program = FORKED + (
        "import sys; from clearctl import extract_features\n"
        "root, config, name = sys.argv[1:]\n"
        "extract_features(root, config=config, weights='none', name=name, batch_size=1, device='cpu')\n"
    )

    def run(name: str, **environ: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, str(root), str(config), name]
        return subprocess.Popen(command, env={**os.environ, **environ})

    assert run("straight").wait() == 0
    for files, path, number in (
        (1, "*/killed/extraction.json", 2),  # not recorded yet, so that it counts for nothing
        (2, "*/killed/*/all.pth", 3),
    ):
        with Halt(tmp_path / "halt", path, number, event="rename") as halt:
            halt.kill(run("killed", **halt.environ))
        assert len(feature_bytes(root, "killed")) == files
        assert len(list(root.rglob(".*.tmp"))) == 1
    assert run("killed").wait() == 0
    assert feature_bytes(root, "killed") == feature_bytes(root, "straight")
    assert not list(layout.features_folder(root, "killed").parent.glob(".*"))
    assert not list(root.rglob(".*.tmp"))


def test_official_layout_is_what_a_release_ships(root, config):
    result = extract_features(root, config=config, weights="none", name="mine", device="cpu", official=True)
    assert result.official == (root / "features/mine",)
    index = json.loads((root / "features/mine/features.json").read_text())
    assert list(index) == ["0", "1", "2"]
    x, _ = load_features(layout.features_file(root, "mine", "1"))
    rows = {}
    for class_name in ("BACKGROUND", "camera", "cup of tea"):
        file = root / index["1"][class_name]
        of_class = load_released_features(file)
        assert list(of_class) == list(json.loads((root / f"labeled_metadata/1/{class_name}.json").read_text()))
        assert file.stat().st_size < 5000  # each row alone, not a view of all
        rows.update(of_class)
    assert torch.equal(torch.stack(list(rows.values())), x)
    prepared = prepare_avalanche(root, seeds=[0])
    assert (prepared.features, prepared.written) == ((), 0)  # they are no release's: left alone
    again = extract_features(root, config=config, weights="none", name="mine", device="cpu", official=True)
    assert again.written == ()


def test_what_a_kill_left_before_it_was_recorded_never_stands_in_the_way(root, config):
    """Killed between a bucket's file and its entry, and again before the next bucket was whole."""
    arguments = {"config": config, "weights": "none", "device": "cpu"}
    extract_features(root, buckets=["0"], **arguments)
    record = layout.extraction_file(root, "small")
    record.write_text(json.dumps({**json.loads(record.read_text()), "buckets": {}}))
    path = root / (root / "training_folder/filelists/0/all.txt").read_text().split("\n")[0].rpartition(" ")[0]
    whole = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be decoded"):
        extract_features(root, **arguments)
    path.write_bytes(whole)
    assert extract_features(root, **arguments).written == ("0", "1", "2")


def test_official_files_are_of_one_make_too(root, config, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(CONFIG.format(backbone=MOBILENET))
    arguments = {"weights": "none", "name": "mine", "device": "cpu", "official": True}
    extract_features(root, config=config, **arguments)
    extract_features(root, config=other, buckets=["0"], force=True, **arguments)
    assert list(json.loads((root / "features/mine/features.json").read_text())) == ["0"]
    assert {file.parent.name for file in (root / "features/mine").glob("*/*.pth")} == {"0"}
    assert prepare_avalanche(root, seeds=[0, 1]).features == ()
    assert list(feature_bytes(root, "mine")) == ["0"]
    extract_features(root, config=other, **arguments)
    assert list(json.loads((root / "features/mine/features.json").read_text())) == ["0", "1", "2"]


def test_official_files_stay_in_the_folder(root, config):
    layout.class_names_file(root).write_text("BACKGROUND\n../../evil\ncup of tea")
    index = json.loads((root / "labeled_metadata.json").read_text())
    for classes in index.values():
        classes["../../evil"] = classes.pop("camera")
    (root / "labeled_metadata.json").write_text(json.dumps(index))
    with pytest.raises(DatasetError, match="cannot be the name of a per-class file"):
        extract_features(root, config=config, weights="none", name="mine", device="cpu", official=True)
    assert not list(root.parent.rglob("evil*"))


def test_arguments_that_json_gives_back_otherwise_are_the_same_arguments(root):
    arguments = {"depth": 18, "stem_channels": 8, "base_channels": 8, "out_indices": (3,)}

    def extract(**more):
        return extract_features(
            root, arch="mmcls:ResNet", arguments={**arguments, **more}, weights="none", device="cpu", buckets=["0"]
        )

    assert extract().written == ("0",)
    assert extract().written == ()
    with pytest.raises(UsageError, match="cannot be written to extraction.json"):
        extract(out_indices={3})


def test_features_of_another_file_list_are_refused_and_made_again(root, config):
    """Two images of a class change places: rows and labels would fit as before."""
    extract_features(root, config=config, weights="none", device="cpu")
    before = feature_bytes(root, "small")
    file = layout.filelist_file(root, "1")
    lines = file.read_text().split("\n")
    file.write_text("\n".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(DatasetError, match="features 'small' of bucket 1 were extracted for another"):
        read_stream(root, feature_type="small")
    assert extract_features(root, config=config, weights="none", device="cpu").written == ("1",)
    assert feature_bytes(root, "small")["1"] != before["1"]
    read_stream(root, feature_type="small")


def test_a_file_list_that_changes_meanwhile_is_not_taken_for_the_one_extracted(root, config):
    file = layout.filelist_file(root, "1")
    lines = file.read_text().split("\n")

    def change(event) -> None:
        if isinstance(event, Counted):
            file.write_text("\n".join([lines[1], lines[0], *lines[2:]]))

    extract_features(root, config=config, weights="none", device="cpu", listener=change)
    assert extract_features(root, config=config, weights="none", device="cpu").written == ("1",)


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_the_transform_leaves_of_several_sizes(root, config, workers):
    config.write_text(
        config.read_text() + "scenario['eval_transform'] = [dict(type='Resize', size=32), dict(type='ToTensor')]\n"
    )
    path = root / (root / "training_folder/filelists/0/all.txt").read_text().split("\n")[3].rpartition(" ")[0]
    Image.new("RGB", (60, 40)).save(path)
    with pytest.raises(DatasetError, match="after the transform images have several sizes"):
        extract_features(root, config=config, weights="none", device="cpu", batch_size=9, workers=workers)


def test_official_layout_of_a_release_that_comes_split(later_folder, config):
    folder = later_folder(images=2)
    prepare_avalanche(folder)
    result = extract_features(folder, config=config, weights="none", device="cpu", official=True)
    assert result.official == (folder / "train/features/small", folder / "test/features/small")
    assert len(load_released_features(folder / "train/features/small/0/camera.pth")) == 2
    assert len(load_released_features(folder / "test/features/small/0/camera.pth")) == 3
    assert prepare_avalanche(folder).written == 0


def test_official_layout_of_a_folder_without_metadata(image_folder, config):
    folder = image_folder(named=False, images=2, size_px=48, buckets=("1",))
    prepare_avalanche(folder, test_ratio=0)
    extract_features(folder, config=config, weights="none", device="cpu", official=True)
    index = json.loads((folder / "features/small/features.json").read_text())
    assert list(index["1"]) == ["apple", "cup of tea", "zebra"]
    rows = load_released_features(folder / index["1"]["zebra"])
    assert list(rows) == sorted(file.stem for file in (folder / "labeled_images/1/zebra").iterdir())
    x, _ = load_features(layout.features_file(folder, "small", "1"))
    assert torch.equal(torch.stack(list(rows.values())), x[4:])
    # As a release ships them, by the same ids.
    shutil.rmtree(layout.features_folder(folder, "small"))
    assert prepare_avalanche(folder, test_ratio=0).features == ("small",)
    assert torch.equal(load_features(layout.features_file(folder, "small", "1"))[0], x)


def test_a_run_trains_on_them(root, config, features_config, tmp_path):
    result = extract_features(root, config=config, weights="none", device="cpu")
    overrides = [f"scenario.feature_type={result.name}", f"model.head.in_channels={result.dimension}"]
    trained = train(features_config, dataset_root=root, work_dir=tmp_path / "runs", overrides=overrides, device="cpu")
    assert trained.matrix.shape == (3, 3)
    assert read_stream(root, feature_type=result.name).feature_dim == 64


def test_a_runs_own_checkpoint_is_a_backbone(prepared, trained, tiny_config, tmp_path):
    """As the CLEAR paper does: features of the network as it was after bucket 0."""
    import shutil

    from clearctl.rundir import checkpoint_file

    root = shutil.copytree(prepared, tmp_path / "clear")
    checkpoint = checkpoint_file(trained.run, 1)
    result = extract_features(root, config=tiny_config, name="own", checkpoint=checkpoint, device="cpu")
    assert (result.dimension, result.weights) == (4, "exp_1.pth")
    assert {path.parent.name for path in result.folder.glob("*/all.pth")} == {"0", "1", "2"}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("content", [b"", b"text", "cut"])
def test_an_image_that_cannot_be_decoded_ends_it_before_its_bucket(root, config, workers, content):
    path = (root / "training_folder/filelists/1/all.txt").read_text().split("\n")[4].rpartition(" ")[0]
    whole = (root / path).read_bytes()
    (root / path).write_bytes(whole[: len(whole) // 2] if content == "cut" else content)
    with pytest.raises(DatasetError, match=rf"{re.escape(str(root / path))} \(bucket 1\) cannot be decoded"):
        extract_features(root, config=config, weights="none", device="cpu", batch_size=3, workers=workers)
    assert list(feature_bytes(root, "small")) == ["0"]
    (root / path).write_bytes(whole)
    assert extract_features(root, config=config, weights="none", device="cpu", batch_size=3).written == ("1", "2")


def test_a_missing_image_is_named_before_anything_is_read(root, config):
    path = (root / "training_folder/filelists/2/all.txt").read_text().split("\n")[4].rpartition(" ")[0]
    (root / path).unlink()
    with pytest.raises(DatasetError, match=rf"{re.escape(str(root / path))} \(bucket 2\) is listed but missing"):
        extract_features(root, config=config, weights="none", device="cpu")
    assert feature_bytes(root, "small") == {}


@pytest.mark.parametrize(
    ("arguments", "error", "reported"),
    [
        ({"arch": "resnet5"}, UsageError, "resnet50"),
        ({"arch": "mmcls:ResNt"}, UsageError, "ResNet"),
        ({"precision": "fp8"}, UsageError, "--precision fp8"),
        ({"batch_size": 0}, UsageError, "--batch-size 0"),
        ({"workers": -1}, UsageError, "--workers -1"),
        ({"weights": "best"}, UsageError, "--weights best"),
        ({"name": "../x"}, UsageError, "--name ../x"),
        ({"name": ".x"}, UsageError, "--name .x"),
        ({"buckets": ["7"]}, UsageError, "no bucket 7"),
        ({"checkpoint": "w.pth", "weights": "none"}, UsageError, "give one of them"),
        ({"checkpoint": "nowhere.pth"}, RunError, "nowhere.pth"),
        ({"device": "cuda:99"}, CapabilityError, "--device cuda:99"),
    ],
)
def test_arguments_that_make_no_sense(root, arguments, error, reported):
    with pytest.raises(error) as caught:
        extract_features(root, **{"device": "cpu", "arch": "squeezenet1_1", **arguments})
    assert reported in str(caught.value)
    assert str(caught.value).count("\n") <= 1
    assert not (root / "training_folder/features").exists()


def test_config_and_arch_together_are_refused(root, config):
    with pytest.raises(UsageError, match="--config already gives the backbone"):
        extract_features(root, config=config, arch="resnet50")


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("model = dict(backbone=dict(type='ResNt', depth=18))", "did you mean 'ResNet'"),
        ("model = dict(backbone=dict(type='ResNet', dept=18))", "dept"),
        ("model = dict()", "model.backbone"),
        ("model = 3", "model: found 3, expected a dict"),
        ("scenario = None", "scenario: found None, expected a dict"),
        ("scenario = dict(eval_transform=[dict(type='Rezise')])", "Resize"),
    ],
)
def test_a_config_that_is_wrong_is_refused_at_once(root, tmp_path, text, reported):
    file = tmp_path / "wrong.py"
    file.write_text(CONFIG.format(backbone=RESNET) + text)
    with pytest.raises((ConfigError, UsageError)) as caught:
        extract_features(root, config=file, weights="none", device="cpu")
    assert reported in str(caught.value)


def test_a_checkpoint_of_another_architecture(root, config, tmp_path):
    torch.save(models.squeezenet1_1().state_dict(), tmp_path / "other.pth")
    with pytest.raises(RunError, match=r"other\.pth"):
        extract_features(root, config=config, checkpoint=tmp_path / "other.pth", device="cpu")
    assert not (root / "training_folder/features").exists()


def test_allow_partial_says_what_it_left_random(root, config, tmp_path):
    extractor_weights = torch.load(_weights_of(config, tmp_path), weights_only=True)
    del extractor_weights["layer4.1.conv2.weight"]
    torch.save(extractor_weights, tmp_path / "partial.pth")
    with pytest.raises(RunError, match=r"layer4\.1\.conv2\.weight"):
        extract_features(root, config=config, checkpoint=tmp_path / "partial.pth", device="cpu")
    said = []
    arguments = {"config": config, "checkpoint": tmp_path / "partial.pth", "device": "cpu"}
    result = extract_features(root, allow_partial=True, listener=said.append, **arguments)
    assert any("left random: layer4.1.conv2.weight" in event.text for event in said if isinstance(event, Message))
    record = json.loads((result.folder / "extraction.json").read_text())
    assert record["about"]["weights"]["left_random"] == ["layer4.1.conv2.weight"]


def _weights_of(config: Path, place: Path) -> Path:
    from clearctl.models.zoo.build import build_extractor

    extractor = build_extractor("mmcls:ResNet", {"depth": 18, "stem_channels": 8, "base_channels": 8})
    torch.save(extractor.backbone.state_dict(), place / "weights.pth")
    return place / "weights.pth"


def test_a_full_disk_leaves_no_half_bucket(root, config):
    """A limit on the size of files stands in for a full disk: the record still fits, the features do not."""
    config.write_text(CONFIG.format(backbone=RESNET.replace("base_channels=8", "base_channels=32")))
    program = FORKED + (
        "import resource, sys; from clearctl import extract_features; from clearctl.errors import DatasetError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "try: extract_features(sys.argv[1], config=sys.argv[2], weights='none', device='cpu')\n"
        "except DatasetError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root), str(config)], capture_output=True, text=True, check=True
    )
    assert "all.pth cannot be written: File too large" in done.stdout
    assert feature_bytes(root, "small") == {}
    assert extract_features(root, config=config, weights="none", device="cpu").written == ("0", "1", "2")


@pytest.mark.parametrize(("cores", "processes", "workers"), [(8, 1, 8), (64, 1, 16), (64, 8, 8), (8, 3, 2), (2, 4, 1)])
def test_the_processes_of_a_machine_share_its_cores(monkeypatch, cores, processes, workers):
    from sharing import environment

    from clearctl.engine.extract.extract import default_workers

    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)))
    for name, value in environment(0, processes, 0).items():
        monkeypatch.setenv(name, value)
    assert default_workers(torch.device("cuda")) == workers
    assert default_workers(torch.device("cpu")) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_rows_are_those_of_the_cpu(root, config):
    for device in ("cpu", "cuda"):
        extract_features(root, config=config, weights="none", name=device, device=device)
    for bucket in ("0", "1", "2"):
        on_cpu, _ = load_features(layout.features_file(root, "cpu", bucket))
        on_gpu, _ = load_features(layout.features_file(root, "cuda", bucket))
        rows_match(on_gpu, on_cpu)
