"""From a dataset folder to samples: what a stream holds (`stream`), one sample (`samples`), its transforms."""
