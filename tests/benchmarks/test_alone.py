"""The process that measurements are forked from."""

import subprocess
import sys

from benchmarks.alone import PRELOADED

CODE = """
import importlib, os, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
import torch

def refuses_cuda():
    child = os.fork()
    if child == 0:
        os._exit(torch._C._cuda_isInBadFork())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert "mmcls.models" in sys.modules and "avalanche.training" in sys.modules
assert not any(name.startswith("clearctl") for name in sys.modules)
before = refuses_cuda()
torch.cuda.is_available()
print(before, refuses_cuda())
"""


def test_a_measurement_can_use_a_gpu() -> None:
    """mmcv asks for a GPU as it is imported, after which torch refuses CUDA in every process that is forked."""
    command = [sys.executable, "-W", "ignore", "-c", CODE, *PRELOADED]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == ["0", "1"]
