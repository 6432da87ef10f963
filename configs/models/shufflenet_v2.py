# ShuffleNetV2 1.0x: 1 M parameters.
model = dict(
    backbone=dict(type="ShuffleNetV2", widen_factor=1.0),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=1024),
)
