# Biased reservoir: CLEAR-10, features byol_imagenet, iid protocol.
_base_ = ["biased_reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
# One bucket of the iid protocol's training part, as in the papers' code; the predecessor has 3,300 here too.
cl_strategy = dict(buffer=dict(max_size=2310))
work_dir = "./work_dirs/clear10/byol-imagenet_biased_reservoir_iid"
