# A cosine head on the same features; what the strategy Prototype works with best.
model = dict(head=dict(type="CosineDistanceHead", num_classes=11, in_channels=2048, temperature=10.0))
