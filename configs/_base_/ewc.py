# EWC, one penalty for each earlier bucket.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="EWC", ewc_lambda=0.4, mode="separate")
