"""The bridge to Avalanche, and the only importer of it. Here a bucket is an Avalanche *experience*."""

from clearctl.deferred import defer_compiler
from clearctl.standins import import_less

defer_compiler()
import_less()
