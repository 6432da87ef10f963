import numpy as np

_base_ = ["../../_base_/clear10.py", "../../_base_/metrics.py", "../../_base_/lwf.py"]

scenario = dict(feature_type="byol_imagenet")
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
cl_strategy = dict(
    alpha=np.linspace(0, 2, num=11).tolist(),  # a value for each bucket: old ones count more and more
)
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/clear10/byol-imagenet_lwf"
