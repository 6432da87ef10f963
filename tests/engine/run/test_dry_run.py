import pytest
from blobs import BASES
from small import TYPES

from clearctl.engine.run.dry_run import dry_run
from clearctl.errors import ConfigError


def test_sizes_are_counted_and_nothing_is_left(prepared, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(path for path in prepared.rglob("*"))
    result = dry_run(
        tiny_config,
        dataset_root=prepared,
        device="cpu",
        overrides=["loggers=[{'type': 'TextLogger'}, {'type': 'CSVLogger'}, {'type': 'WandBLogger'}]"],
    )
    lists = prepared / "training_folder" / "testset_ratio_0.3" / "split_0"
    count = {
        part: sum(len(f.read_text().split("\n")) for f in lists.glob(f"*/{part}.txt")) for part in ("train", "test")
    }
    assert (result.train_samples, result.test_samples) == (count["train"], count["test"])
    assert result.buckets == ["0", "1", "2"]
    assert result.parameters == result.trained_parameters > 0
    assert 0 < result.train_batch_s < result.seconds
    assert result.memory_bytes > 50e6
    assert list(tmp_path.iterdir()) == []
    assert sorted(path for path in prepared.rglob("*")) == before


def test_frozen_weights_are_not_counted_as_trained(prepared, tiny_config):
    result = dry_run(tiny_config, dataset_root=prepared, device="cpu", overrides=["model.freeze=['backbone']"])
    assert result.trained_parameters == 4 * 3 + 3  # the head's


def test_a_fault_that_only_building_finds(prepared, tiny_config):
    with pytest.raises(ConfigError, match=r"model"):
        dry_run(tiny_config, dataset_root=prepared, device="cpu", overrides=["model.backbone.depth=19"])


HEAD = "scenario = dict(evaluation_protocol='iid', seed=0, feature_type='tiny')\n" + (
    "model = dict(head=dict(type='LinearClsHead', num_classes=3, in_channels=5))\n"
)


# In place of the linear head.
OWN_HEADS = {
    "ranpac": "type='RandomProjectionHead', projection_dim=40",
    "klda": "type='RandomFourierHead', projection_dim=40",
    "fecam": "type='FeCAMHead', tukey=1.0",
}


@pytest.mark.parametrize("base", TYPES)
def test_every_strategy_has_a_dry_run(base, prepared, tmp_path):
    config = tmp_path / "config.py"
    small = "cl_strategy = dict(mem_size=20)\n" if base == "bic" else ""
    head = HEAD.replace("type='LinearClsHead'", OWN_HEADS.get(base, "type='LinearClsHead'"))
    config.write_text(f"_base_ = [{str(BASES / f'{base}.py')!r}]\n{head}{small}")
    result = dry_run(config, dataset_root=prepared, device="cpu")
    assert result.train_batch_s > 0
    assert result.test_batch_s > 0


def test_bic_says_when_it_holds_everything_out(prepared, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(f"_base_ = [{str(BASES / 'bic.py')!r}]\n{HEAD}")
    with pytest.raises(
        ConfigError, match=r"BiC holds out 110 samples of each class .* lower cl_strategy.val_percentage"
    ):
        dry_run(config, dataset_root=prepared, device="cpu")
