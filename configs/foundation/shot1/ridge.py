# Ridge regression: CLEAR-10, features of a foundation model, 1 image per class to train on.
_base_ = ["../streaming/ridge.py"]

name = "Ridge (1 shot)"
scenario = dict(evaluation_protocol="iid", shot=1, seed=0)
cl_strategy = dict(ridge_lambda=1.0)  # of one image per class none can be held out to choose it
work_dir = "./work_dirs/foundation/shot1_ridge"
