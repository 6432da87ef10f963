# GEM: gradients are projected so that no earlier bucket's memory gets worse.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="GEM", patterns_per_exp=3300, memory_strength=0.5)
