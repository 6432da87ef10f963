# Synaptic intelligence: CLEAR-10, images with ResNet-18, iid protocol.
_base_ = ["si.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear10/image-res18_si_iid"
