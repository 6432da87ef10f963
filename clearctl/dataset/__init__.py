"""Commands on a CLEAR dataset folder: reading its labelled images, preparing it. Does not need torch."""
