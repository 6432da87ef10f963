# Each bucket together with all earlier ones: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["cumulative.py"]

name = "Cumulative (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/paper/cumulative_iid"
