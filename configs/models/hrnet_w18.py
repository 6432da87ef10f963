# HRNet-W18, its four resolutions fused to 2048 channels.
model = dict(
    backbone=dict(type="HRNet", arch="w18"),
    neck=[dict(type="HRFuseScales", in_channels=(18, 36, 72, 144)), dict(type="GlobalAveragePooling")],
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)
