# Each bucket is learned together with all earlier ones.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="Cumulative")
