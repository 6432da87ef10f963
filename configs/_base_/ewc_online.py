# EWC, one penalty whose importances are a running mean.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="EWC", ewc_lambda=0.4, mode="online", decay_factor=0.1)
