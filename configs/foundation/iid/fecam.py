# FeCAM: CLEAR-10, features of a foundation model, iid protocol.
_base_ = ["../streaming/fecam.py"]

name = "FeCAM (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/foundation/iid_fecam"
