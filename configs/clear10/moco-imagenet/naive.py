# Fine-tuning: CLEAR-10, features moco_imagenet, streaming protocol.
_base_ = ["../../_base_/clear10.py", "../../_base_/metrics.py", "../../_base_/finetune.py"]

scenario = dict(feature_type="moco_imagenet")
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/clear10/moco-imagenet_naive"
