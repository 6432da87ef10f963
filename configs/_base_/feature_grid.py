# What the CLEAR-10 feature grid has in common: a linear head on features of 2,048 numbers, every strategy trained as
# CLEAR's papers do (feature_training.py). `make paper-table DATASET=DIR` runs the grid and makes the table.
_base_ = ["metrics.py"]

scenario = dict(
    dataset_type="CLEAR",
    data_name="clear10",
    evaluation_protocol="streaming",
    task_labels="bucket",  # as in the published experiments
    feature_type="moco_b0",
)
model = dict(head=dict(type="LinearClsHead", num_classes=11, in_channels=2048))
loggers = []
checkpoint_config = dict(interval=10)  # the last weights: a hundred runs are many files
