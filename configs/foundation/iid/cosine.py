# Fine-tuning of a cosine head: CLEAR-10, features of a foundation model, iid protocol.
_base_ = ["../streaming/cosine.py"]

name = "Cosine (iid)"
scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/foundation/iid_cosine"
