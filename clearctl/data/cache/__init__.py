"""Images decoded once: a store of uint8 images that runs, seeds and processes share."""

from clearctl.deferred import defer_compiler
from clearctl.standins import defer_imports

defer_compiler()
defer_imports()
