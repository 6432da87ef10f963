# ConvNeXt-T: 28 M parameters; it pools by itself.
model = dict(
    backbone=dict(type="ConvNeXt", arch="tiny", drop_path_rate=0.1),
    head=dict(type="LinearClsHead", num_classes=11, in_channels=768),
)
