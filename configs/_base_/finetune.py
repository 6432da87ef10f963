# Plain fine-tuning of a linear head on features.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="Naive")
