"""Trains runs with nearly equal configs as one batched model: `key` decides which runs, `train` trains them.

Each run's order of samples, memory, metrics and loggers come from its own strategy, which runs all its callbacks
(`member`, `strategies.lockstep`). Only the arithmetic is done for all runs at once (`learner`, `heads`, `optimize`).
"""
