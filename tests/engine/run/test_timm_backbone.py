"""A model of timm that is trained on images: its first weights, frozen or not, resumed, tested, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_clear_folder
from killing import KILLED, run_process
from runs import require_same

from clearctl import evaluate, prepare_avalanche, train
from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE
from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ConfigError, RunError
from clearctl.models.classifier import build_classifier

timm = pytest.importorskip("timm")
SMALL = {"img_size": 14, "patch_size": 7, "embed_dim": 12, "depth": 1, "num_heads": 2}
CONFIG = """
_base_ = {base!r}
scenario = dict(train_transform=[dict(type="CenterCrop", size=14), dict(type="ToTensor")])
model = dict(
    backbone=dict(_delete_=True, drop_rate=0.1, **{arguments!r}),
    neck=None, head=dict(in_channels=12), {more})
cl_strategy = {strategy}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_clear_folder(tmp_path_factory.mktemp("data") / "clear", size_px=16, buckets=("1", "2"))
    prepare_avalanche(folder, seeds=[0])
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """timm's model with its classifier, as timm saves it."""
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.save({"state_dict": timm.create_model("vit_tiny_patch16_224", **SMALL).state_dict()}, file)
    return file


@pytest.fixture
def config(tiny_config: Path, tmp_path: Path) -> Any:
    def write(*, strategy: str = "dict()", more: str = "", **arguments: Any) -> Path:
        given = {"type": "timm:vit_tiny_patch16_224", **SMALL, **arguments}
        file = tmp_path / "timm_config.py"
        file.write_text(CONFIG.format(base=str(tiny_config), arguments=given, more=more, strategy=strategy))
        return file

    return write


def last_weights(run: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "exp_1.pth", weights_only=True)
    return found


def test_a_model_of_timm_learns_from_its_weights_and_resumes_exactly(
    config: Any, root: Path, weights: Path, tmp_path: Path
) -> None:
    file = config(pretrained=str(weights), strategy="dict(type='LwF', alpha=1.0, temperature=2.0)")
    given = {"device": "cpu", "dataset_root": root}
    straight = train(file, work_dir=tmp_path / "straight", **given)
    at = ("step", 1, 1, 1)  # LwF's copy of the earlier model is part of the state
    ended = run_process(file, arguments={**given, "work_dir": tmp_path / "killed"}, at=at, saving="steps")
    assert ended.exit_code == KILLED
    (run,) = (tmp_path / "killed").iterdir()
    assert run_process(run).require().matrix == straight.matrix.tolist()
    require_same(run, straight.run)
    weights.rename(weights.with_suffix(".moved"))  # a test takes its weights from the checkpoint
    try:
        assert evaluate(run, device="cpu").matrix.tolist() == straight.matrix.tolist()
    finally:
        weights.with_suffix(".moved").rename(weights)


def test_a_frozen_backbone_stays_as_timm_gave_it(config: Any, root: Path, weights: Path, tmp_path: Path) -> None:
    file = config(pretrained=str(weights), more="freeze=['backbone']")
    run = train(file, work_dir=tmp_path / "runs", dataset_root=root, device="cpu").run
    given = torch.load(weights, weights_only=True)["state_dict"]
    found = torch.load(run / "checkpoints" / "exp_1.pth", weights_only=True)
    names = [name for name in given if not name.startswith("head.")]
    assert len(names) > 5
    assert all(torch.equal(found[f"backbone.{name}"], given[name]) for name in names)
    assert dry_run(file, dataset_root=root, device="cpu") is not None


def test_all_of_a_backbone_learns_where_it_is_not_frozen(config: Any, weights: Path) -> None:
    entry = {"type": "timm:vit_tiny_patch16_224", "pretrained": str(weights), **SMALL}
    model = build_classifier(backbone=entry, head={"type": "LinearClsHead", "num_classes": 3, "in_channels": 12})
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.training
    random = build_classifier(
        backbone={**entry, "pretrained": False}, head={"type": "LinearClsHead", "num_classes": 3, "in_channels": 12}
    )
    key = "backbone.blocks.0.attn.qkv.weight"
    assert not torch.equal(random.state_dict()[key], model.state_dict()[key])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"type": "timm:vit_tinny_patch16_224"},
            "model.backbone.type: no model of timm is called 'vit_tinny_patch16_224'",
        ),
        ({"type": "timm:resnet50.b1"}, "model.backbone.type: timm's resnet50 has no weights called 'b1'"),
        ({"num_classes": 3}, "model.backbone.num_classes: timm's models do not accept 'num_classes' here"),
        ({"embed_dims": 3}, "model.backbone.embed_dims: timm's vit_tiny_patch16_224 rejects it: "),
        ({"num_heads": 5}, "rejects it: "),
        (
            {"pretrained": "https://a/b.pth"},
            "model.backbone.pretrained: found 'https://a/b.pth': weights are not downloaded",
        ),
        ({"pretrained": 3}, "model.backbone.pretrained: found 3, expected bool or str"),
    ],
)
def test_what_timm_does_not_take_is_a_fault_of_the_config(config: Any, changes: dict[str, Any], message: str) -> None:
    faults = [str(fault) for fault in check(load(config(**changes)), CATALOGUE)]
    assert len(faults) == 1
    assert message in faults[0]


def test_a_head_of_another_width_is_a_fault(config: Any, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model.head.*: .*12"):
        train(config(embed_dim=8), work_dir=tmp_path / "runs", dataset_root=root, device="cpu")


def test_weights_of_another_model_end_before_a_run_folder(config: Any, root: Path, tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(RunError, match=r"other.pth does not fit timm:vit_tiny_patch16_224: "):
        train(
            config(pretrained=str(tmp_path / "other.pth")), work_dir=tmp_path / "runs", dataset_root=root, device="cpu"
        )
    assert not list(tmp_path.glob("runs/*"))
