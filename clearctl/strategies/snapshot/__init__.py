"""The state of a strategy and all that hangs on it, as plain values and tensors, and back over one built anew."""
