# Conformer-Ti/16; the scores are the sum of its two heads', the loss the mean of theirs.
model = dict(
    backbone=dict(type="Conformer", arch="tiny", drop_path_rate=0.1),
    head=dict(type="ConformerHead", num_classes=11, in_channels=[256, 384]),
)
