# ResNet-18 with CIFAR's stem, which keeps the resolution: for images of 32 or 64 px; slow at 224 px.
model = dict(
    backbone=dict(type="ResNet_CIFAR", depth=18),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=512),
)
