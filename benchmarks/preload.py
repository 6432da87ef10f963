"""Imports what every side of a comparison needs, in the process that each measurement is forked from.

mmcv asks torch for a GPU as it is imported, after which no process forked from this one could use one: here it is
reported that there is none.
"""

import torch

_asked = torch.cuda.is_available
torch.cuda.is_available = lambda: False
try:
    import avalanche.training.supervised  # noqa: F401
    import mmcls.models  # noqa: F401
    import torchvision  # noqa: F401
    import wandb  # noqa: F401
finally:
    torch.cuda.is_available = _asked
