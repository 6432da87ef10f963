"""Runs that differ in little, trained as one batched model: `key` says which, `train` does it.

The order of each run's samples, its memory, its metrics and its loggers come from its own real strategy, which goes
through all its callbacks (`member`, and `strategies.lockstep`); only the arithmetic is done for all runs at once
(`learner`, `heads`, `optimize`).
"""
