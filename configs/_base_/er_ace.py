# ER-ACE: replay with an asymmetric cross-entropy.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="ER_ACE", mem_size=3300, batch_size_mem=256)
