"""The parts of mmcls and mmcv that clearctl uses, imported without a change to the program's logging.

mmcv raises every stream handler of the root logger to level ERROR as it makes a logger, and so the program's messages
are lost from then on. It makes one when mmcv.cnn is imported, and mmcls one when it has something to tell: both are
made here, and the handlers get their levels back.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from clearctl.mmcv_needed import needing_mmcv

_levels = [(handler, handler.level) for handler in logging.root.handlers]
try:
    with needing_mmcv():
        from mmcls.models import builder, losses
        from mmcls.models.heads import ClsHead
        from mmcls.models.utils.augment import Augments
        from mmcls.models.utils.augment.builder import AUGMENT
        from mmcv.cnn import fuse_conv_bn, initialize
        from mmcv.runner import Sequential
        from mmcv.runner.optimizer import OPTIMIZERS
        from mmcv.utils import get_logger

    _LOGGERS: list[logging.Logger] = [get_logger(name) for name in ("mmcv", "mmcls")]
finally:
    for _handler, _level in _levels:
        _handler.setLevel(_level)

__all__ = [
    "AUGMENT",
    "OPTIMIZERS",
    "Augments",
    "ClsHead",
    "Sequential",
    "builder",
    "fuse_conv_bn",
    "initialize",
    "losses",
    "quiet",
]


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which mmcv and mmcls log errors only, not every layer that they initialise."""
    levels = [logger.level for logger in _LOGGERS]
    for logger in _LOGGERS:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(_LOGGERS, levels, strict=True):
            logger.setLevel(level)
