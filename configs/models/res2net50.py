# Res2Net-50, 14w-8s.
model = dict(
    backbone=dict(type="Res2Net", depth=50, scales=8, base_width=14, deep_stem=False, avg_down=False),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=2048),
)
