"""A linear head on the features of the demo's network as it was after bucket 1, learned bucket after bucket.

The CLEAR paper does the same with a network that learned bucket 0, which has no labels, by itself. The second config of
`clearctl demo`. Run the demo once, then
    clearctl train quickstart_feature --dataset-root clearctl-demo/dataset
"""

dialect = "clearctl"
name = "quickstart_feature"

scenario = dict(dataset_type="CLEAR", evaluation_protocol="iid", seed=0, feature_type="bucket1")
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=64))

cl_strategy = dict(
    type="Naive",
    train_mb_size=32,
    eval_mb_size=256,
    train_epochs=12,
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
    scheduler=dict(type="StepLR", step_size=8, gamma=0.1),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
)

work_dir = f"./work_dirs/{name}"
seed = 0
metrics = [
    dict(type="accuracy_metrics", epoch=True, experience=True, stream=True),
    dict(type="loss_metrics", epoch=True, experience=True, stream=True),
]
loggers = [dict(type="TextLogger")]
