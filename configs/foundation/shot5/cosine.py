# Fine-tuning of a cosine head: CLEAR-10, features of a foundation model, 5 images per class to train on.
_base_ = ["../streaming/cosine.py"]

name = "Cosine (5 shot)"
scenario = dict(evaluation_protocol="iid", shot=5, seed=0)
work_dir = "./work_dirs/foundation/shot5_cosine"
