# A-GEM with Avalanche's memory, patterns_per_exp samples of each bucket.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="AGEM", patterns_per_exp=256, sample_size=256)
