# Online EWC: CLEAR-10, features byol_imagenet, iid protocol.
_base_ = ["ewc.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/byol-imagenet_ewc_iid"
