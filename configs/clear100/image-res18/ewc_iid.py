# Online EWC: CLEAR-100, images with ResNet-18, iid protocol.
_base_ = ["ewc.py"]

scenario = dict(evaluation_protocol="iid", seed=0)
work_dir = "./work_dirs/clear100/image-res18_ewc_iid"
