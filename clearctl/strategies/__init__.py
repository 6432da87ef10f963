"""The bridge to Avalanche, and the only importer of it. Here a bucket is an Avalanche *experience*."""

from clearctl.deferred import defer_rare_imports

defer_rare_imports()
