# CWR*: after the first bucket only the last layer is trained. Its name is filled in from the model.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="CWRStar")
