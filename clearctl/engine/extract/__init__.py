"""`extract-features`: from an architecture, a checkpoint and a transform to features."""
