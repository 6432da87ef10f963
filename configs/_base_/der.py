# DER++ (beta=0: DER): the memory keeps the scores of when its samples were learned.
_base_ = ["feature_training.py"]
cl_strategy = dict(type="DER", mem_size=3300, alpha=0.1, beta=0.5)
