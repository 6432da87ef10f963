# A linear head on features that `clearctl extract-features --arch resnet50` made, on CLEAR-10, bucket after bucket.
# The settings are those of the predecessor's demo_feature.py.
#   clearctl train configs/demo_feature.py
# Other features: --set scenario.feature_type=NAME --set model.torchmodel.in_features=features
_base_ = ["_base_/clear10.py", "_base_/metrics.py", "_base_/finetune.py"]

scenario = dict(feature_type="resnet50")
model = dict(torchmodel=dict(type="Linear", in_features=2048, out_features=11))
cl_strategy = dict(
    train_epochs=10,
    optimizer=dict(_delete_=True, type="AdamW", lr=0.00025, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05),
)
loggers = [dict(type="TextLogger")]
work_dir = "./work_dirs/clear10_features"
