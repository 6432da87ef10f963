"""What a config may say of loaders, caches, precision, compilation, memory format, TF32 and determinism."""

from pathlib import Path

import pytest

from clearctl.config.check import check
from clearctl.config.load import load
from clearctl.engine.build.catalogue import CATALOGUE

AGEM = ("cl_strategy.type=AGEM", "cl_strategy.patterns_per_exp=4")
MIR = (
    "cl_strategy.type=MIR",
    "cl_strategy.mem_size=8",
    "cl_strategy.subsample=8",
    "cl_strategy.batch_size_mem=2",
    "cl_strategy.loss=None",
)


def faults(file: Path, *overrides: str) -> list[str]:
    return [str(fault) for fault in check(load(file, overrides), CATALOGUE)]


@pytest.mark.parametrize(
    "overrides",
    [
        *[(f"precision={name}",) for name in ("fp32", "bf16", "fp16")],
        ("compile=True", "channels_last=True", "tf32=True", "deterministic=True"),
        ("compile=False", "channels_last=False", "tf32=False", "deterministic=False"),
        *[(f"data.loader={name}", "data.workers=2") for name in ("auto", "workers")],
        *[(f"data.loader={name}", "scenario.feature_type=tiny") for name in ("resident", "mapped")],
        *[(f"data.cache={name}", "data.cache_dir=somewhere") for name in ("auto", "off", "ram", "disk")],
        *[(f"data.graph={name}",) for name in ("auto", "off")],
        (*AGEM, "precision=fp16"),
        (*MIR, "precision=bf16"),
        (*MIR, "channels_last=True"),
        (*AGEM, "channels_last=False"),
    ],
)
def test_allowed(overrides: tuple[str, ...], tiny_config: Path) -> None:
    assert faults(tiny_config, *overrides) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("precision=bf61",), "precision: found 'bf61', expected 'fp32' or 'bf16' or 'fp16'; did you mean 'bf16'?"),
        (("precision=16",), "precision: found 16, expected 'fp32' or 'bf16' or 'fp16'"),
        (("compile=1",), "compile: found 1, expected a bool"),
        (("channels_last=yes",), "channels_last: found 'yes', expected a bool"),
        (("tf32=None",), "tf32: found None, expected a bool"),
        (("deterministic=1",), "deterministic: found 1, expected a bool"),
        (("determinstic=True",), "determinstic: unknown section; did you mean 'deterministic'?"),
        (
            ("data.loader=residnet",),
            "data.loader: found 'residnet', expected 'auto' or 'resident' or 'mapped' or 'workers'",
        ),
        (("data.cache=True",), "data.cache: found True, expected 'auto' or 'off' or 'ram' or 'disk'"),
        (("data.graph=True",), "data.graph: found True, expected 'auto' or 'off'"),
        (("data.cache_dir=3",), "data.cache_dir: found 3, expected a str"),
        (("data.chache=ram",), "data.chache: data has no such key; did you mean 'cache'?"),
        (("data.workers=-1",), "data.workers: found -1, expected a whole number from 0"),
        (("data=3",), "data: found 3, expected a dict"),
        (("precison=bf16",), "precison: unknown section; did you mean 'precision'?"),
        (
            (*MIR, "precision=fp16"),
            "precision: MIR cannot be combined with precision='fp16': it differentiates an unscaled loss",
        ),
        (("data.loader=resident", "data.cache=off"), "data.cache: loader='resident' needs decoded images"),
        (("data.loader=workers", "data.cache=disk"), "data.cache: loader='workers' decodes every image again"),
        (
            ("cl_strategy.plugins=[{'type': 'MIRPlugin', 'batch_size_mem': 2}]",),
            "plugin 'MIRPlugin' cannot be used: it changes the reduction of a loss",
        ),
        (
            (*AGEM, "channels_last=True"),
            "channels_last: AGEM cannot be combined with channels_last=True: it flattens gradients as views",
        ),
    ],
)
def test_refused(overrides: tuple[str, ...], message: str, tiny_config: Path) -> None:
    (found,) = faults(tiny_config, *overrides)
    assert message in found


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compile=True", "compile: model.backbone is missing, the part that is compiled: leave compile out"),
        ("channels_last=True", "channels_last: model.backbone is missing, the part that takes that memory format"),
    ],
)
def test_refused_on_features(override: str, message: str, features_config: Path) -> None:
    (found,) = faults(features_config, override)
    assert message in found


def test_a_torchmodel_has_no_other_precision(features_config: Path) -> None:
    linear = ("model.head=None", "model.torchmodel={'type': 'Linear', 'in_features': 5, 'out_features': 3}")
    assert faults(features_config, *linear, "precision=fp32") == []
    (found,) = faults(features_config, *linear, "precision=bf16")
    assert "precision: a torchmodel computes in fp32" in found
