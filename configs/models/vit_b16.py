# ViT-B/16: 86 M parameters; img_size is that of the transforms.
model = dict(
    backbone=dict(type="VisionTransformer", arch="b", img_size=224, patch_size=16),
    head=dict(type="VisionTransformerClsHead", num_classes=11, in_channels=768),
)
