# A linear head on extracted features of ResNet-50: in_channels is the width of the feature_type.
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
