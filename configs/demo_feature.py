# A linear head on features that `clearctl extract-features --arch resnet50` made, on CLEAR-10, bucket after bucket.
#   clearctl train configs/demo_feature.py
# Other features: --set scenario.feature_type=NAME --set model.head.in_channels=D
_base_ = ["_base_/clear10.py", "_base_/metrics.py", "_base_/finetune.py"]

scenario = dict(feature_type="resnet50")
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/clear10_features"
