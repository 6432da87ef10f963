# Fine-tuning: CLEAR-10, features moco_b0, iid protocol.
_base_ = ["naive.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/moco-b0_naive_iid"
