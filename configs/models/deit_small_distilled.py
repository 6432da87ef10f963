# Distilled DeiT-S/16; the scores are the average of its two heads.
model = dict(
    backbone=dict(type="DistilledVisionTransformer", arch="deit-s", img_size=224, patch_size=16),
    head=dict(type="DeiTClsHead", num_classes=11, in_channels=384),
)
