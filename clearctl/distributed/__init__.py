"""The processes of one run: torchrun's environment, how they share a batch, and their own random numbers."""
