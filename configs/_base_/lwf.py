# Learning without forgetting; alpha may be a list with a value for each bucket.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="LwF", alpha=1.0, temperature=2.0)
