"""A linear head on features of your own images, bucket after bucket, tested on held-out images.

For most collections the better start: a network that learned ImageNet, and only the last layer to train. See
docs/own-data.md.
    clearctl extract-features --dataset-root dataset/own --arch resnet18
    clearctl train own_data_feature --dataset-root dataset/own
Other features: --set scenario.feature_type=NAME
"""

dialect = "clearctl"
name = "own_data_feature"

scenario = dict(dataset_type="CLEAR", evaluation_protocol="iid", seed=0, feature_type="resnet18")
# The number of classes that the dataset folder has, and the dimension of the features.
model = dict(head=dict(type="LinearClsHead", num_classes="dataset", in_channels="features"))

cl_strategy = dict(
    type="Naive",
    train_mb_size=32,
    eval_mb_size=256,
    train_epochs=20,
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
    scheduler=dict(type="CosineAnnealingLR", T_max=20),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
)

work_dir = f"./work_dirs/{name}"
seed = 0
metrics = [
    dict(type="accuracy_metrics", epoch=True, experience=True, stream=True),
    dict(type="loss_metrics", epoch=True, experience=True, stream=True),
    dict(type="forgetting_metrics", experience=True, stream=True),
]
loggers = [dict(type="TextLogger")]
