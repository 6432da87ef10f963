"""The version, in the one place that the package, its metadata and its run folders take it from."""

__version__ = "1.0.0rc1"
