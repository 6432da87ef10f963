"""The files that a run writes: states to resume from, weights, results."""
