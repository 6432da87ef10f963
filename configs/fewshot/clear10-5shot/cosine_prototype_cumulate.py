# Class means over all buckets so far, cosine head: CLEAR-10, features moco_b0, iid protocol, 5 shot.
_base_ = ["../../_base_/clear10.py", "../../_base_/metrics.py", "../../_base_/prototype.py"]

scenario = dict(feature_type="moco_b0", evaluation_protocol="iid", shot=5, seed=0)
model = dict(head=dict(type="CosineDistanceHead", num_classes=11, in_channels=2048))
cl_strategy = dict(cumulate=True)
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/fewshot/clear10_5shot_cosine_prototype_cumulate"
