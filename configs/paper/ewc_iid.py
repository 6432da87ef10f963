# Online EWC: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["ewc.py"]

name = "EWC (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/ewc_iid"
