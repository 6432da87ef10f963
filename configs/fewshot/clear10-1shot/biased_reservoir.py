# Biased reservoir: CLEAR-10, features moco_b0, iid protocol, 1 shot.
_base_ = ["../../_base_/clear10.py", "../../_base_/metrics.py", "../../_base_/biased_reservoir.py"]

scenario = dict(feature_type="moco_b0", evaluation_protocol="iid", shot=1, seed=0)
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
# A memory of one bucket: 1 image of each class.
cl_strategy = dict(buffer=dict(max_size=11, alpha_mode="Dynamic", alpha_value=1.0))
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/fewshot/clear10_1shot_biased_reservoir"
