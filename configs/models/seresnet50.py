# SE-ResNet-50.
model = dict(
    backbone=dict(type="SEResNet", depth=50),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)
