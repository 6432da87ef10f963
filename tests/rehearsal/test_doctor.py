"""What the doctor's child finds of a GPU."""

from rehearsal.gpu import RehearsalGpu

from clearctl.doctor.device import check_device
from clearctl.doctor.imports import Imported
from clearctl.doctor.probe import torch_facts


def test_the_facts_are_of_each_gpu() -> None:
    with RehearsalGpu():
        facts = torch_facts()
    assert [gpu["fault"] for gpu in facts["gpus"]] == [None] * len(facts["gpus"])
    *gpus, cuda = check_device(Imported("torch", facts=facts))
    assert [check.name for check in gpus] == [f"cuda:{index}" for index in range(len(facts["gpus"]))]
    assert {check.state for check in gpus} == {"ok"}
    assert cuda.found.startswith("CUDA ")
