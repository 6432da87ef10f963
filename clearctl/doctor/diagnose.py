"""Runs all checks of `clearctl doctor`, and `--fix`."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from clearctl.doctor import data, device, libraries, machine, mmcv_wheel, optional
from clearctl.doctor.checks import Check, Section, section
from clearctl.doctor.imports import LONGEST_S, import_all
from clearctl.progress import Listener, ignore
from clearctl.shortrepr import ShortRepr


@dataclass(frozen=True, repr=False)
class Diagnosis(ShortRepr):
    """The findings of the doctor."""

    sections: tuple[Section, ...]

    @property
    def checks(self) -> list[Check]:
        """The checks of all sections, in order."""
        return [check for one in self.sections for check in one.checks]

    @property
    def can_train(self) -> bool:
        """Whether nothing keeps clearctl from training on a CPU."""
        return not any(check.state == "problem" for check in self.checks)


def diagnose(
    dataset_root: Path | None = None, *, listener: Listener = ignore, longest_import_s: float = LONGEST_S
) -> Diagnosis:
    """Look at Python, libraries, devices, machine, dataset and accounts. Changes nothing, and asks no network.

    The libraries are imported, in another process; one that takes longer than `longest_import_s` counts as broken.
    """
    known = libraries.libraries()
    modules = [*dict.fromkeys([*(library.module for library in known), "torch", "wandb"]), libraries.ENTRY]
    imported = import_all(modules, listener, longest_s=longest_import_s)
    torch, wandb = imported["torch"], imported["wandb"]
    return Diagnosis(
        (
            section(
                "Python and libraries",
                {
                    "python": libraries.check_python,
                    "clearctl": libraries.check_clearctl,
                    "libraries": partial(libraries.check_libraries, known, imported),
                },
            ),
            section("Device", {"device": partial(device.check_device, torch)}),
            section(
                "Machine",
                {
                    "cores": machine.check_cores,
                    "memory": machine.check_memory,
                    "disks": partial(machine.check_disks, data.likely_root(dataset_root)),
                    "/dev/shm": machine.check_shared_memory,
                },
            ),
            section(
                "Data and accounts",
                {
                    "dataset": partial(data.check_dataset, dataset_root),
                    "writing": partial(data.check_writing, torch),
                    "W&B login": partial(data.check_wandb, wandb),
                },
            ),
            section("Only for some tasks", {"packages": optional.check_packages, "programs": optional.check_programs}),
        )
    )


def fix(found: Diagnosis, listener: Listener = ignore) -> list[str]:
    """Do what can be done without asking: build and install mmcv. Returns what was done, empty if nothing was.

    Raises CapabilityError if it cannot be done, with no network say.
    """
    if not any(check.fix == libraries.FIX_MMCV for check in found.checks):
        return []
    mmcv_wheel.install(listener)
    return ["built and installed mmcv's wheel"]
