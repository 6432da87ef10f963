# Nearest class mean: CLEAR-10, features of a foundation model, 5 images per class to train on.
_base_ = ["../streaming/ncm.py"]

name = "NCM (5 shot)"
scenario = dict(evaluation_protocol="iid", shot=5, seed=0)
work_dir = "./work_dirs/foundation/shot5_ncm"
