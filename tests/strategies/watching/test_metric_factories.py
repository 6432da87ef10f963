"""Every metric factory that a config may name runs, Avalanche 0.6's and clearctl's, and its values reach eval.json."""

import inspect
import json
from pathlib import Path

import pytest
import torch

from clearctl import train
from clearctl.rundir import eval_file
from clearctl.strategies.registry import METRICS

# What part of its values' names each factory is reported by.
NAMES = {
    "MAC_metrics": "MAC_Exp",
    "accuracy_matrix_metrics": "EvalStream/Acc_Matrix",
    "accuracy_metrics": "Top1_Acc_Exp",
    "amca_metrics": "Top1_AMCA",
    "bwt_metrics": "StreamBWT",
    "calibration_metrics": "ECE_Exp",
    "class_accuracy_metrics": "Top1_ClassAcc_Exp",
    "confusion_matrix_metrics": "ConfusionMatrix_Stream",
    "cpu_usage_metrics": "CPUUsage_Exp",
    "disk_usage_metrics": "DiskUsage_Exp",
    "forgetting_metrics": "StreamForgetting",
    "forward_transfer_metrics": "StreamForwardTransfer",
    "labels_repartition_metrics": "Repartition",
    "loss_metrics": "Loss_Exp",
    "mean_scores_metrics": "MeanScores",
    "ram_usage_metrics": "MaxRAMUsage_Experience",
    "timing_metrics": "Time_Exp",
    "topk_acc_metrics": "Topk_2_Acc_Exp",
}
ARGUMENTS = {
    "topk_acc_metrics": {"top_k": 2},
    "disk_usage_metrics": {"paths_to_monitor": [str(Path(__file__).parent)]},
    "ram_usage_metrics": {"every": 0.01},  # seconds, for which the end of each of its threads is waited
}
FLAGS = ("experience", "stream")


def entry(name: str) -> dict:
    accepted = inspect.signature(METRICS[name]).parameters
    return {"type": name, **{flag: True for flag in FLAGS if flag in accepted}, **ARGUMENTS.get(name, {})}


def test_every_factory_is_listed():
    needs_more = {"images_samples_metrics", "gpu_usage_metrics", "auroc_metrics"}  # images, a GPU, classes left out
    assert set(METRICS.classes) == set(NAMES) | needs_more


@pytest.fixture(scope="module", params=["single", "bucket"])
def results(request, features_config, prepared, tmp_path_factory):
    overrides = [
        f"metrics={[entry(name) for name in NAMES]!r}",
        "cl_strategy.eval_every=0",
        "cl_strategy.type=Cumulative",
        f"scenario.task_labels={request.param}",
        "scenario.validation=0.2",
    ]
    run = train(
        features_config,
        dataset_root=prepared,
        work_dir=tmp_path_factory.mktemp("metrics"),
        overrides=overrides,
        device="cpu",
    ).run
    return json.loads(eval_file(run).read_text())


@pytest.mark.parametrize("name", NAMES)
def test_its_values_are_kept(results, name):
    found = {
        key: value for part in ("train", "test") for key, value in results[part]["2"].items() if NAMES[name] in key
    }
    if name in (
        "mean_scores_metrics",
        "labels_repartition_metrics",
    ):  # these give figures, which a JSON file cannot hold
        return
    assert found, sorted({key.split("/")[0] for key in results["test"]["2"]})
    assert all(value is not None for value in found.values())


def test_images_samples(tiny_config, prepared, tmp_path):
    overrides = ["metrics=[{'type': 'images_samples_metrics', 'n_rows': 2, 'n_cols': 2}]"]
    result = train(tiny_config, dataset_root=prepared, work_dir=tmp_path, overrides=overrides, device="cpu")
    assert result.matrix.shape == (3, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_gpu_usage(features_config, prepared, tmp_path):
    overrides = ["metrics=[{'type': 'gpu_usage_metrics', 'gpu_id': 0, 'experience': True}]"]
    run = train(features_config, dataset_root=prepared, work_dir=tmp_path, overrides=overrides, device="cuda").run
    assert any("MaxGPU0Usage" in key for key in json.loads(eval_file(run).read_text())["test"]["2"])


def test_what_the_tests_give_the_validation_parts_have_too(results):
    tested = {name.replace("test_stream", "valid_stream") for name in results["test"]["2"] if "test_stream" in name}
    unnamed = {name for name in tested if name.startswith("Top1_AMCA")}  # it is of the streams that its `streams` names
    assert set(results["validation"]["test"]["2"]) == tested - unnamed
