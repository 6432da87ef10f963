# The papers' "reservoir": only a reservoir is learned from, and the model is not reset.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="GDumb", reset=False, buffer=dict(type="ReservoirSamplingBuffer", max_size=3300))
