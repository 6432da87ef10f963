"""What a run leaves on disk: states to resume from, weights, results."""
