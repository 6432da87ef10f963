"""The bridge to Avalanche, and the only importer of it. Here a bucket is an Avalanche *experience*."""

from clearctl.deferred import defer_compiler
from clearctl.standins import defer_imports

defer_compiler()
defer_imports()
