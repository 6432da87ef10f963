"""Observers of a strategy, which change nothing: metrics, accuracies, progress."""
