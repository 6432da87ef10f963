"""Chooses settings on images held out of the training part, and tests only the chosen ones."""
