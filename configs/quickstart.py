"""A small network from scratch on the stream of `clearctl demo`, bucket after bucket, tested on held-out images.

The config of `clearctl demo`. Run the demo once, then
    clearctl train quickstart --dataset-root clearctl-demo/dataset
"""

dialect = "clearctl"
name = "quickstart"
normalize = dict(type="Normalize", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])

scenario = dict(
    dataset_type="CLEAR",
    evaluation_protocol="iid",
    seed=0,
    train_transform=[
        dict(type="RandomCrop", size=32, padding=2, padding_mode="edge"),
        dict(type="ToTensor"),
        normalize,
    ],
    eval_transform=[dict(type="ToTensor"), normalize],
)

model = dict(
    # The first two stages of a narrow ResNet-18: enough for 32 px, and quick on a CPU.
    backbone=dict(
        type="ResNet",
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
        stem_channels=32,
        base_channels=32,
        zero_init_residual=False,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=64),
)

cl_strategy = dict(
    type="Naive",
    train_mb_size=16,
    eval_mb_size=256,
    train_epochs=12,
    optimizer=dict(type="AdamW", lr=5e-3, weight_decay=1e-2),
    scheduler=dict(type="CosineAnnealingLR", T_max=12),
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
