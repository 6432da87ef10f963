# What the tests train: a net of a few hundred weights on 16 px images, with every metric whose value can be compared.
dialect = "clearctl"
normalize = dict(type="Normalize", mean=[0.5, 0.5, 0.5], std=[0.25, 0.25, 0.25])

scenario = dict(
    dataset_type="CLEAR",
    evaluation_protocol="iid",
    seed=0,
    train_transform=[dict(type="RandomHorizontalFlip", p=0.5), dict(type="ToTensor"), normalize],
    eval_transform=[dict(type="CenterCrop", size=14), dict(type="ToTensor"), normalize],
)

model = dict(
    backbone=dict(
        type="ResNet",
        depth=18,
        num_stages=1,
        strides=(1,),
        dilations=(1,),
        out_indices=(0,),
        stem_channels=4,
        base_channels=4,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=3, in_channels=4),
)

cl_strategy = dict(
    type="Naive",
    train_mb_size=8,
    eval_mb_size=16,
    train_epochs=2,
    optimizer=dict(type="SGD", lr=0.1, momentum=0.9),
    scheduler=dict(type="StepLR", step_size=1, gamma=0.5),
    loss=dict(type="CrossEntropyLoss", loss_weight=1.0),
)

seed = 0
metrics = [dict(type="accuracy_metrics", epoch=True, experience=True, stream=True)]
loggers = [dict(type="TextLogger")]
