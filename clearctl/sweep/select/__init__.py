"""Choosing settings by images held out of the training part, and testing the chosen ones alone."""
