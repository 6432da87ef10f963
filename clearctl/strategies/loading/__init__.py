"""Samples as batches: row numbers, positions that can be saved, whole batches gathered at once."""
