# ResNet-50: 25 M parameters, the backbone of the published demo.
model = dict(
    backbone=dict(type="ResNet", depth=50),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)
