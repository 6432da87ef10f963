"""What is done to a CLEAR dataset folder: reading its labelled images, preparing it. Needs no torch."""
