# A-GEM with Avalanche's memory, patterns_per_exp samples of each bucket: all of a bucket, as in the papers' code.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="AGEM", patterns_per_exp=3300, sample_size=3300)
