# Fine-tuning of a linear head: CLEAR-10, features of a foundation model, iid protocol.
_base_ = ["../streaming/linear.py"]

name = "Linear (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/foundation/iid_linear"
