# Fine-tuning of a linear head: CLEAR-10, features of a foundation model, 1 image per class to train on.
_base_ = ["../streaming/linear.py"]

name = "Linear (1 shot)"
scenario = dict(evaluation_protocol="iid", shot=1, seed=0)
work_dir = "./work_dirs/foundation/shot1_linear"
