"""The state of a strategy and all that it contains, as plain values and tensors, loaded into a newly built one."""
