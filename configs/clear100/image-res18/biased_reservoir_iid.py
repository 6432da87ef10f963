# Biased reservoir: CLEAR-100, images with ResNet-18, iid protocol.
_base_ = ["biased_reservoir.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear100/image-res18_biased_reservoir_iid"
