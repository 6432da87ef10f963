# Learning without forgetting. A weight for each of ten buckets: the old ones count more and more.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="LwF", alpha=[i * (2 / 9) for i in range(10)], temperature=1)
