# MLP-Mixer-B/16; img_size is that of the transforms. It has patches in the last dimension: pooled with dim=1.
model = dict(
    backbone=dict(type="MlpMixer", arch="b", img_size=224, patch_size=16),
    neck=dict(type="GlobalAveragePooling", dim=1),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=768),
)
