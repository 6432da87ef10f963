"""Ridge regression on features of EfficientNet-Lite0, learned on ImageNet, of the stream of `clearctl demo`.

Run `clearctl demo --features lite0` once, then
    clearctl train quickstart_lite0 --dataset-root clearctl-demo/dataset
"""

_base_ = ["_base_/ridge.py"]
name = "quickstart_lite0"

scenario = dict(dataset_type="CLEAR", evaluation_protocol="iid", seed=0, feature_type="lite0")
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels="features"))

work_dir = f"./work_dirs/{name}"
seed = 0
metrics = [dict(type="accuracy_metrics", epoch=True, experience=True, stream=True)]
loggers = [dict(type="TextLogger")]
