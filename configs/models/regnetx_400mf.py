# RegNetX-400MF: 5 M parameters.
model = dict(
    backbone=dict(type="RegNet", arch="regnetx_400mf"),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=384),
)
