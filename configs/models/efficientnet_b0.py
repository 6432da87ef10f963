# EfficientNet-B0: 4 M parameters.
model = dict(
    backbone=dict(type="EfficientNet", arch="b0"),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=1280),
)
