"""The state of a strategy and all that it holds, as plain values and tensors, loaded into one that was built again."""
