# ResNeSt-50.
model = dict(
    backbone=dict(type="ResNeSt", depth=50),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)
