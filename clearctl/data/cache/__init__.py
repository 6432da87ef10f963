"""Images decoded once: a store of uint8 images that runs, seeds and processes share."""
