# Linear discriminant analysis in whole batches: CLEAR-10, features of a foundation model, 5 images per class to train
# on.
_base_ = ["../streaming/slda.py"]

name = "SLDA (5 shot)"
scenario = dict(evaluation_protocol="iid", shot=5, seed=0)
work_dir = "./work_dirs/foundation/shot5_slda"
