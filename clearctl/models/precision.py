"""The precisions that a network can compute in, as torch's types."""

import torch

from clearctl.config.keys import PRECISIONS

DTYPES = dict(zip(PRECISIONS, (torch.float32, torch.bfloat16, torch.float16), strict=True))
