# VGG-16 with batch norm, pooled to one vector instead of its 120 M parameters of linear layers.
model = dict(
    backbone=dict(type="VGG", depth=16, norm_cfg=dict(type="BN")),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=512),
)
