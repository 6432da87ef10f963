"""A narrow ResNet-18 from scratch on your own images, bucket after bucket, tested on held-out images.

The folder is one that `clearctl import` made; any prepared dataset folder will do. See docs/own-data.md.
    clearctl train own_data --dataset-root dataset/own
"""

dialect = "clearctl"
name = "own_data"
size_px = 64
normalize = dict(type="Normalize", mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])

scenario = dict(
    dataset_type="CLEAR",
    evaluation_protocol="iid",
    seed=0,
    train_transform=[
        dict(type="Resize", size=size_px),
        dict(type="RandomCrop", size=size_px),
        dict(type="RandomHorizontalFlip"),
        dict(type="ToTensor"),
        normalize,
    ],
    eval_transform=[
        dict(type="Resize", size=size_px),
        dict(type="CenterCrop", size=size_px),
        dict(type="ToTensor"),
        normalize,
    ],
)

model = dict(
    # Half as wide as ResNet-18 is: enough for 64 px, and quick on a CPU.
    backbone=dict(type="ResNet", depth=18, stem_channels=32, base_channels=32),
    neck=dict(type="GlobalAveragePooling"),
    # The number of classes that the dataset folder has.
    head=dict(type="LinearClsHead", num_classes="dataset", in_channels=256),
)

cl_strategy = dict(
    type="Naive",
    train_mb_size=32,
    eval_mb_size=128,
    train_epochs=10,
    optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4),
    scheduler=dict(type="CosineAnnealingLR", T_max=10),
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
