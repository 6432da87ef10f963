"""The same learning three times: by clearctl, by plain Avalanche, by a bare PyTorch loop."""
