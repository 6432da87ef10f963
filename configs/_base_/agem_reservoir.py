# A-GEM with one reservoir of patterns_per_exp samples in all; `buffer` may give another.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="AGEM", patterns_per_exp=3300, sample_size=3300, reservoir=True)
