# Reservoir: CLEAR-10, images with ResNet-18, iid protocol.
_base_ = ["reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
# One bucket of the iid protocol's training part, as in the papers' code; the predecessor has 3,300 here too.
cl_strategy = dict(buffer=dict(max_size=2310))
work_dir = "./work_dirs/clear10/image-res18_reservoir_iid"
