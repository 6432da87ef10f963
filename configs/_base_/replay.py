# Each mini-batch is joined by one from a memory of earlier buckets, as large as a bucket of CLEAR-10.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="Replay", mem_size=3300)
