# Learning without forgetting: CLEAR-10, features imagenet, iid protocol.
_base_ = ["lwf.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/imagenet_lwf_iid"
