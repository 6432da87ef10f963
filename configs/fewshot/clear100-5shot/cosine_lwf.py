import numpy as np

_base_ = ["../../_base_/clear100.py", "../../_base_/metrics.py", "../../_base_/lwf.py"]

scenario = dict(feature_type="moco_b0", evaluation_protocol="iid", shot=5, seed=0)
model = dict(head=dict(type="CosineDistanceHead", num_classes=101, in_channels=2048))
cl_strategy = dict(alpha=np.linspace(0, 2, num=11).tolist())
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/fewshot/clear100_5shot_cosine_lwf"
