# Class means and inverse covariances; what the strategy FeCAM writes. For features that may be below 0, as those of
# ViTs, tukey=1.0 leaves them as they are.
model = dict(head=dict(type="FeCAMHead", num_classes=11, in_channels=2048, tukey=0.5))
