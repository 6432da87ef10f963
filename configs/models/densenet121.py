# DenseNet-121: 7 M parameters.
model = dict(
    backbone=dict(type="DenseNet", arch="121"),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=1024),
)
