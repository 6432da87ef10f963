# Fine-tuning: CLEAR-10, features moco_imagenet, iid protocol.
_base_ = ["naive.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/moco-imagenet_naive_iid"
