# GDumb: from scratch at each bucket, on a memory balanced by class.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="GDumb", mem_size=3300)
