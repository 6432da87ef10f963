# Fine-tuning: CLEAR-10, features imagenet, iid protocol.
_base_ = ["naive.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/imagenet_naive_iid"
