"""The published archives: where they lie, how they come, what they are checked against, how they are put in place."""
