# MobileNetV2: 2 M parameters.
model = dict(
    backbone=dict(type="MobileNetV2", widen_factor=1.0),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=1280),
)
