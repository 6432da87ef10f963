"""A sweep: the product of configs, seeds and grids of values, run in several processes or on a cluster."""
