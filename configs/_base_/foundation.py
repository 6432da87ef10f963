# What the grid on features of foundation models has in common: CLEAR-10, streaming protocol, a linear head as wide as
# the features. `make foundation-table DATASET=DIR FEATURES=NAME` extracts them, runs the grid and makes the table.
# The papers have no such experiments: these settings are clearctl's own.
_base_ = ["metrics.py"]

scenario = dict(
    dataset_type="CLEAR",
    data_name="clear10",
    evaluation_protocol="streaming",
    feature_type="vit_base_patch16_clip_224.openai",
)
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels="features"))
loggers = []
checkpoint_config = dict(interval=10)  # the last weights: a hundred runs are many files
