"""What is said at the start of a run on a GPU of options that gained there, and when nothing is."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from rehearsal.gpu import RehearsalGpu

from clearctl.config.fill import fill
from clearctl.engine.build.compute_options import BF16, KNOWN, OFFERED, ComputeOption, other_options, say_what_gained
from clearctl.engine.build.config import open_config
from clearctl.engine.build.stream import build_stream
from clearctl.progress import Message

PERFORMANCE = Path(__file__).parents[3] / "docs" / "performance.md"
CUDA, CPU = torch.device("cuda"), torch.device("cpu")
AGEM = ["cl_strategy.type=AGEM", "cl_strategy.patterns_per_exp=4", "cl_strategy.sample_size=4"]


def said(config: Path, root: Path, device: torch.device = CUDA, overrides: Sequence[str] = ()) -> list[str]:
    settings = fill(open_config(config, dataset_root=root, overrides=tuple(overrides)))
    heard: list[str] = []

    def listen(event: object) -> None:
        assert isinstance(event, Message)
        assert not event.warning
        heard.append(event.text)

    say_what_gained(settings, build_stream(settings.scenario, settings.data), device, listen)
    return heard


def test_the_figures_are_those_of_the_page() -> None:
    text = PERFORMANCE.read_text().partition("## On a GPU")[2]
    rows = re.findall(r"^\| (\S[^|]*?) \| ([\d,]+) \|", text, re.MULTILINE)
    page = {name.replace("`", "").replace("=True", ""): float(rate.replace(",", "")) for name, rate in rows}
    assert {name: page[name] for name in KNOWN.images_per_s} == KNOWN.images_per_s
    assert f"one {KNOWN.card} " in text
    assert "ResNet-50, 224 px" in text
    assert "batch 64 unless stated" in text
    assert KNOWN.images_per_s.keys() == {"fp32", *(option.name for option in OFFERED)}


def test_in_float32_one_line_says_what_was_measured_where(tiny_config: Path, prepared: Path) -> None:
    with RehearsalGpu():
        assert said(tiny_config, prepared) == [
            "precision fp32: on an NVIDIA H200 ResNet-50 (224 px, batch 64) trained faster:"
            " 1.9 times with --precision bf16, 1.9 times with --set tf32=True,"
            " 1.6 times with --precision bf16 --set channels_last=True; `clearctl train --dry-run` measures them here"
        ]


@pytest.mark.parametrize("override", ["precision=bf16", "precision=fp16", "tf32=True"])
def test_who_asks_for_one_is_told_nothing(override: str, tiny_config: Path, prepared: Path) -> None:
    with RehearsalGpu():
        assert said(tiny_config, prepared, overrides=[override]) == []


def test_nothing_is_said_of_features_nor_on_a_cpu(tiny_config: Path, features_config: Path, prepared: Path) -> None:
    assert said(tiny_config, prepared, CPU) == []
    with RehearsalGpu():
        assert said(features_config, prepared) == []


def test_nothing_is_said_on_a_gpu_without_units_for_bf16(
    tiny_config: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's answer is True there too unless it is asked without what is only emulated."""
    with RehearsalGpu():
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
        assert said(tiny_config, prepared) == []


def test_what_the_config_cannot_go_with_is_left_out(tiny_config: Path, prepared: Path) -> None:
    with RehearsalGpu():
        [text] = said(tiny_config, prepared, overrides=AGEM)
    assert "--precision bf16," in text
    assert "channels_last" not in text


def test_an_option_is_what_its_arguments_ask_for(tiny_config: Path, prepared: Path) -> None:
    """The command's own reading of them gives it back, and it is not offered to who has it."""
    assert ComputeOption().arguments == ""
    for option in OFFERED:
        words = option.arguments.replace("--precision ", "--set precision=").split()
        overrides = [word for word in words if word != "--set"]
        settings = fill(open_config(tiny_config, dataset_root=prepared, overrides=tuple(overrides)))
        assert ComputeOption.of(settings.compute) == option
        with RehearsalGpu():
            assert option not in other_options(settings, CUDA)
            assert len(other_options(settings, CUDA)) == len(OFFERED) - 1
        assert other_options(settings, CPU) == []


def test_in_half_precision_tf32_is_no_other_option(tiny_config: Path, prepared: Path) -> None:
    settings = fill(open_config(tiny_config, dataset_root=prepared, overrides=("precision=bf16", "tf32=True")))
    assert ComputeOption.of(settings.compute) == BF16
