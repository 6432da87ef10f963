# Swin-T: 28 M parameters.
model = dict(
    backbone=dict(type="SwinTransformer", arch="tiny", img_size=224, drop_path_rate=0.2),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=768),
)
